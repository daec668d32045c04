package logging_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"oauth-proxyd/internal/logging"
)

// node hides what it holds behind LogValue.
type node struct{ name string }

func (n node) LogValue() slog.Value { return slog.StringValue("node " + n.name) }

// broken is an error whose nil pointer panics when asked.
type broken struct{ why string }

func (b *broken) Error() string { return b.why }

func TestValues(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	tests := []struct {
		name string
		attr slog.Attr
		text string // after the message
		json string // between time, level, msg and the end
	}{
		{"a word", slog.String("node", "ai"), `node=ai`, `"node":"ai"`},
		{"words", slog.String("node", "a b"), `node="a b"`, `"node":"a b"`},
		{"nothing", slog.String("node", ""), `node=""`, `"node":""`},
		{"a number", slog.Int("status", 200), `status=200`, `"status":200`},
		{"a truth", slog.Bool("ok", true), `ok=true`, `"ok":true`},
		{"a long time", slog.Duration("duration", 1234567891), `duration_ms=1234.567`, `"duration_ms":1234.567`},
		{"a time of minutes", slog.Duration("duration", 20*time.Minute), `duration_ms=1200000`, `"duration_ms":1200000`},
		{"a short time", slog.Duration("first_byte", 5678901), `first_byte_ms=5.678`, `"first_byte_ms":5.678`},
		{"a very short time", slog.Duration("wait_ms", 1500), `wait_ms=0.001`, `"wait_ms":0.001`},
		{"a date", slog.Time("at", at), `at=2026-03-04T05:06:07Z`, `"at":"2026-03-04T05:06:07Z"`},
		{"a list", slog.Any("tags", []string{"tag:a", "tag:b"}), `tags=tag:a,tag:b`, `"tags":"tag:a,tag:b"`},
		{"an empty list", slog.Any("tags", []string{}), `tags=""`, `"tags":""`},
		{"an error", slog.Any("error", errors.New("no way")), `error="no way"`, `"error":"no way"`},
		{"an error that panics", slog.Any("error", (*broken)(nil)), `error=<nil>`, `"error":"<nil>"`},
		{"nil", slog.Any("error", nil), `error=<nil>`, `"error":"<nil>"`},
		{"a stringer", slog.Any("addr", netip.MustParseAddr("::1")), `addr=::1`, `"addr":"::1"`},
		{"a struct", slog.Any("v", struct{ A int }{1}), `v={1}`, `"v":"{1}"`},
		{"a group without a name", slog.Attr{Value: slog.GroupValue(slog.Int("a", 1), slog.String("b", `"`))}, `a=1 b="\""`, `"a":1,"b":"\""`},
		{"resolved", slog.Any("n", node{"x"}), `n="node x"`, `"n":"node x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			use := func(l *logging.Log) { emit(t, l, "done", tt.attr) }
			text := "2026-03-04T05:06:07.891Z INF done " + tt.text + "\n"
			if got := capture(t, "text", use); got != text {
				t.Errorf("text %q, want %q", got, text)
			}
			object := `{"time":"2026-03-04T05:06:07.891Z","level":"INFO","msg":"done",` + tt.json + "}\n"
			if got := capture(t, "json", use); got != object {
				t.Errorf("JSON %q, want %q", got, object)
			}
		})
	}
}

// A record does not change if its caller changes the values later.
func TestRecordIsACopy(t *testing.T) {
	got := capture(t, "json", func(l *logging.Log) {
		list := []string{"a", "b"}
		log := l.Logger().With("with", list)
		log.Info("one", "list", list)
		list[0] = "changed"
	})
	if !strings.Contains(got, `"with":"a,b","list":"a,b"`) {
		t.Errorf("got %s", got)
	}
}

func TestColour(t *testing.T) {
	tests := []struct {
		name, noColour, term string
		format               string
		want                 bool
	}{
		{"a terminal", "", "xterm", "auto", true},
		{"text asked for", "", "xterm", "text", true},
		{"colour not wanted", "1", "xterm", "auto", false},
		{"colour not known", "", "dumb", "auto", false},
		{"JSON asked for", "", "xterm", "json", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColour)
			t.Setenv("TERM", tt.term)
			tty, other := terminal(t)
			emit(t, start(t, logging.Config{Format: tt.format, Stderr: tty}), "hello")
			line, err := other.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(line, "\x1b["); got != tt.want {
				t.Errorf("colour in %q: %t, want %t", line, got, tt.want)
			}
			if want := "05:06:07.891"; !strings.Contains(line, want) {
				t.Errorf("%q has no %s", line, want)
			}
		})
	}
}

// hostile is what a client may send where a path is expected.
func hostile() []string {
	return []string{
		"/\n2026-03-04T05:06:07.891Z INF forged", "/\r\nforged", "/\x1b[31mred\x1b[0m", "/\x1b]0;title\x07",
		"/\x7f\x00\b", "/\u009b31m", "/\u202egnp", "/\u2028x", "/\xff\xc0", "/a\" b=\"c", `/\n`, `/a \x1b[31mred`,
	}
}

// escaped is how a hostile value is shown.
func escaped(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// colours are the sequences that tint writes.
func colours(s string) string {
	return regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(s, "")
}

func checkLine(t testing.TB, form, line string) {
	t.Helper()
	body, ended := strings.CutSuffix(line, "\n")
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if !ended || !utf8.ValidString(body) || strings.ContainsFunc(body, bad) {
		t.Errorf("%s: %q is not one clean line", form, line)
	}
}

func TestNoForgery(t *testing.T) {
	for _, s := range hostile() {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) {
			use := func(l *logging.Log) { emit(t, l, "m"+s, slog.String("path", s)) }
			checkLine(t, "text", capture(t, "text", use))
			object := capture(t, "json", use)
			checkLine(t, "JSON", object)
			var fields map[string]any
			if err := json.Unmarshal([]byte(object), &fields); err != nil {
				t.Fatal(err)
			}
			if want := escaped(s); fields["path"] != want {
				t.Errorf("JSON: path %q, want %q", fields["path"], want)
			}
			tty, other := terminal(t)
			use(start(t, logging.Config{Format: "text", Stderr: tty}))
			line, err := other.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			// tint's own sequences end in m and hold digits only: one of the client's would look
			// like them.
			if strings.Contains(line, "\x1b[31mred") {
				t.Errorf("terminal: %q lets a colour through", line)
			}
			checkLine(t, "terminal", strings.Replace(colours(line), "\r\n", "\n", 1))
		})
	}
}

func TestLongValuesAreCut(t *testing.T) {
	const limit = 16 << 10
	long := strings.Repeat("é", limit)
	out := capture(t, "json", func(l *logging.Log) {
		l.Logger().Info(long, "s", long, "e", errors.New(long), "keep", long[:limit], "list", []string{long, long})
	})
	var got struct{ Msg, S, E, Keep, List string }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"message": got.Msg, "string": got.S, "error": got.E, "list": got.List} {
		if len(s) > limit || len(s) < limit-8 || !strings.HasSuffix(s, "é…") {
			t.Errorf("%s: %d bytes, ending in %q", name, len(s), s[len(s)-8:])
		}
	}
	if got.Keep != long[:limit] {
		t.Errorf("a value of just 16 KiB was cut to %d", len(got.Keep))
	}
	many := capture(t, "text", func(l *logging.Log) {
		emit(t, l, strings.Repeat("\x80", 20_000), slog.Any("list", make([]string, 1_000_000)))
	})
	if len(many) > 6*limit { // four bytes for each that is not UTF-8
		t.Errorf("a list of nothing and a message of garbage made a line of %d bytes", len(many))
	}
}

func FuzzForgery(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, msg, value string) {
		use := func(l *logging.Log) { emit(t, l, msg, slog.String("path", value)) }
		checkLine(t, "text", capture(t, "text", use))
		checkLine(t, "JSON", capture(t, "json", use))
	})
}
