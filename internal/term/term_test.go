package term_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/term"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openTerminal makes a pseudo terminal of so many columns.
func openTerminal(t *testing.T, columns uint16) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fd := int(master.Fd())
	must(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	must(unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	t.Cleanup(func() { _ = tty.Close() })
	return tty
}

func TestTerminalHasItsWidthAndColor(t *testing.T) {
	for name, c := range map[string]struct {
		columns       uint16
		noColor, term string
		width         int
		color         bool
	}{
		"a terminal":         {100, "", "xterm", 100, true},
		"colours turned off": {100, "1", "xterm", 100, false},
		"colours unknown":    {100, "", "dumb", 100, false},
		"a serial console":   {0, "", "vt220", 80, true},
		"a tiny terminal":    {7, "", "xterm", 40, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", c.noColor)
			t.Setenv("TERM", c.term)
			tty := openTerminal(t, c.columns)
			p := term.NewPrinter(tty)
			if p.Width != c.width || p.Color != c.color || !term.IsTerminal(tty) {
				t.Errorf("width %d, colour %t; want %d, %t", p.Width, p.Color, c.width, c.color)
			}
		})
	}
}

func TestOtherFilesAreNoTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close() //nolint:errcheck // nothing was written
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	for name, f := range map[string]*os.File{"/dev/null": null, "a closed file": file} {
		if p := term.NewPrinter(f); p.Width != 0 || p.Color || term.IsTerminal(f) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestWrap(t *testing.T) {
	for name, c := range map[string]struct {
		width  int
		first  string
		indent int
		text   string
		want   string
	}{
		"at blanks":           {20, "label  ", 7, "the words of a text", "label  the words of\n       a text\n"},
		"no width":            {0, "label  ", 7, "the words of a text", "label  the words of a text\n"},
		"deeper than it was":  {12, "  ", 4, "the words of it", "  the words\n    of it\n"},
		"a painted label":     {14, "\x1b[31;1mFAIL\x1b[0m  ", 6, "as it is", "\x1b[31;1mFAIL\x1b[0m  as it is\n"},
		"a long word":         {12, "", 2, "a-word-longer-than-a-line so", "a-word-longer-than-a-line\n  so\n"},
		"a long list":         {12, "", 2, "short,er one,two,three,four", "short,er\n  one,two,\n  three,four\n"},
		"wide letters":        {10, "", 0, "ääää ääää ä", "ääää ääää\nä\n"},
		"nothing":             {10, "label ", 6, "", "label\n"},
		"a line of its own":   {40, "", 0, "path\nfake: line", "path fake: line\n"},
		"an escape sequence":  {40, "", 0, "\x1b[2Jgone", "\uFFFD[2Jgone\n"},
		"white space between": {40, "", 0, "  a \t b  ", "a b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			term.Printer{Out: &out, Width: c.width}.Wrap(c.first, c.indent, c.text)
			if out.String() != c.want {
				t.Errorf("got\n%q, want\n%q", out.String(), c.want)
			}
		})
	}
}

func TestVerbatimKeepsLines(t *testing.T) {
	var out strings.Builder
	term.Printer{Out: &out, Width: 10}.Verbatim(2, "a line longer than the width\n{\n\t\"k\": 1\r\n}")
	if want := "  a line longer than the width\n  {\n   \"k\": 1\n  }\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestPaint(t *testing.T) {
	if got := (term.Printer{Color: true}).Paint(term.Red, "no"); got != "\x1b[31;1mno\x1b[0m" {
		t.Errorf("with colour: %q", got)
	}
	if got := (term.Printer{}).Paint(term.Red, "no"); got != "no" {
		t.Errorf("without: %q", got)
	}
}

func TestCut(t *testing.T) {
	for s, want := range map[string]string{
		"short": "short", "12345678": "12345678", "123456789": "12345…", "äääää": "ää…", "\x80\x80\x80\x80\x80\x80\x80\x80\x80": "…",
	} {
		if got := term.Cut(s, 8); got != want {
			t.Errorf("Cut(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	for s, want := range map[string]string{
		"":              "      ",
		"alice":         "alice ",
		"alice@":        "alice@",
		"alice@x":       "alice…",
		"漢字漢":           "漢字漢",
		"漢字漢字":          "漢字… ",
		"a漢字漢":          "a漢字…",
		"ﾊﾝｶｸ":          "ﾊﾝｶｸ  ",
		"e\u0301\u00e9": "e\u0301\u00e9    ",
		"😀⭐":            "😀⭐  ",
		"한국어한국":         "한국… ",
	} {
		if got := term.Fit(s, 6); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestMask(t *testing.T) {
	for s, want := range map[string]string{
		"/v1/100%25%20sk":                   "/v1/100%25%20sk",
		"Bearer SK-Ant-oat01-x, sk-ant-y":   "Bearer SK-Ant-oat01-*, sk-ant-*",
		`"sk-ant-oat01-x" and sk-ant-`:      `"sk-ant-oat01-*" and sk-ant-`,
		`bearer_prefix = "sk-ant-oat"`:      `bearer_prefix = "sk-ant-oat"`,
		"/%4eyJhb.a.b/x":                    "/%4eyJ******/x",
		"/sk-ant-secret/x?":                 "/sk-ant-*********",
		"/%2573%256B%252Dant%252dx/%20 /":   "/%2573%256B%252Dant%252d***** /",
		"/%73%6b%2d%61%6e%74%2dx%22y":       "/%73%6b%2d%61%6e%74%2d*****",
		"/%25%37%33k-ant-%zz":               "/%25%37%33k-ant-***",
		"/https://u:p:w@a.com/x@y:z":        "/https:***************@y:z",
		"https://:a%3Ab/c@a.com":            "https:**********@a.com",
		"/u%3Apw%40a.com/":                  "/u%3A**%40a.com/",
		"/u%253Ap%2520w%2540a.com/":         "/u%253A*******%2540a.com/",
		"/v1/eyJhbGciOi.eyJzdWIi.c2ln/x":    "/v1/eyJ*********************/x",
		"/eyJhbGciOi.eyJzdWIi.":             "/eyJ*****************",
		"/%65yJh%2Ea%2eb%2Fc/x":             "/%65yJ*************/x",
		"/v1/eyJ.x/models/claude@2:go":      "/v1/eyJ.x/models/claude@2:go",
		"dial tcp [::1]:443: ann@example":   "dial tcp [::1]:443: ann@example",
		"x509: basic constraints, 12:30:00": "x509: basic constraints, 12:30:00",
		"/%2f/ ":                            "/%2f/ ",
		"/%/%4/é%":                          "/%/%4/é%",
	} {
		if got := term.Mask(s); got != want {
			t.Errorf("Mask(%q) = %q, want %q", s, got, want)
		}
	}
	if got := term.Mask("basic %78y, sk-ant-z", `basic (\S+),`); got != "basic ****, sk-ant-*" {
		t.Errorf("with another pattern: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "a\nb", "\x1b]0;title\x07", "\u009b31m", "\u202egnp", "\xff\xc0", "\u2028x", "ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := term.Clean(s)
		if !term.Printable(got) || utf8.RuneCountInString(got) != utf8.RuneCountInString(s) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		if term.Printable(s) && got != s {
			t.Errorf("Clean(%q) changed it to %q", s, got)
		}
		if n := len(term.Cut(s, 8)); n > 8 {
			t.Errorf("Cut(%q, 8) has %d bytes", s, n)
		}
	})
}
