package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// adding returns a rule for a header that /echo shows.
func adding(value string) string {
	return strings.ReplaceAll(mergeBeta, "oauth-2025-04-20", value)
}

func TestReloadBySIGHUP(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	s.signal(syscall.SIGHUP)
	s.notes.Next(t, "RELOADING=1")
	s.notes.Next(t, "READY=1")
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
	reload := get(t, s.url()+"/health").Object(t)["last_reload"].(map[string]any)
	if reload["ok"] != true {
		t.Errorf("/health says of the reload: %v", reload)
	}
}

func TestReloadReportsChanges(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	code, out, errs := s.command("reload")
	if code != 0 || out != "reloaded; changed nothing\n" || errs != "" {
		t.Errorf("without a change: %d %q %q", code, out, errs)
	}
	s.configure(forwarding(u.URL, `idle_timeout = "2m"`, withoutTailnet, adding("new")))
	code, out, errs = s.command("reload")
	if code != 0 || !daemontest.ContainsAll(out, []string{"reloaded; changed:", `proxy.idle_timeout: "6m" -> "2m"`, `header "anthropic-beta"`}) || errs != "" {
		t.Errorf("with changes: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`) // at once: reload waits
	code, out, _ = s.command("reload", "--json")
	var outcome struct {
		Applied bool
		Changes []any
	}
	if err := json.Unmarshal([]byte(out), &outcome); code != 0 || err != nil || !outcome.Applied || outcome.Changes == nil || len(outcome.Changes) != 0 {
		t.Errorf("--json: %d %v %q", code, err, out)
	}
}

// The changes follow their heading where warnings and changes are on one terminal.
func TestReloadWarnsBeforeTheChanges(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.configure(forwarding("http://127.0.0.1:9", "", withoutTailnet, "access {\n  allow = [\"local\", \"tag:a\"]\n}\n"))
	x := s.onTerminal(200, 24, "NO_COLOR=1", "reload")
	code := x.Exit(t)
	<-x.read
	if out := x.Text(); code != 0 || !strings.HasPrefix(out, "warning: access.allow: ") || !strings.Contains(out, "\nreloaded; changed:\r\n  access.allow: ") {
		t.Errorf("%d %q", code, out)
	}
}

func TestReloadRefusesABadFile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	s.configure("proxy {\n  idle_timout = \"6m\"\n}\nheader \"x-api-key\" {\n  value = \"a\"\n}\n")
	for _, args := range [][]string{{"reload"}, {"reload", "--dry-run"}} {
		code, out, errs := s.command(args...)
		if code != 78 || out != "" {
			t.Errorf("%v: exit code %d, output %q", args, code, out)
		}
		if !daemontest.ContainsAll(errs, []string{s.file() + ":2:3", "idle_timeout", s.file() + ":4:", "x-api-key", "configuration is unchanged"}) {
			t.Errorf("%v does not say what is wrong: %s", args, errs)
		}
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_config_last_reload_successful 0\n")
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Errorf("the fixed file: exit code %d, %s", code, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_config_last_reload_successful 1\n")
}

// Reading a file ends whatever is in it, and the next reload works.
func TestReloadAfterAHangingFile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	for _, row := range []struct{ name, text, want string }{
		{"a huge number", "proxy {\n  queue_limit = 1.5e99999999\n}\n", ":2:17: proxy.queue_limit: must be a whole number, 0 to 1000000"},
		{"its calculation", "proxy {\n  queue_limit = \"${1e9999999*1e999999}\"\n}\n", ":2:17: proxy.queue_limit: expressions are not supported"},
		{"many digits", "proxy {\n  queue_limit = " + strings.Repeat("9", 100_000) + "\n}\n", ":2:17: proxy.queue_limit: must be a whole number, 0 to 1000000"},
		{"brackets", strings.Repeat("[", 5000), "brackets and operators"},
		{"a large one", strings.Repeat("# a comment\n", 1<<20), "is larger than"},
		{"errors alone", strings.Repeat("a = 1\n", 4000), "too many errors"},
		{"a binary one", "\x7fELF\xff", "not text in UTF-8"},
	} {
		s.configure(row.text)
		s.wantRefusal(row.name, row.want)
	}
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Errorf("the corrected file: exit code %d, %s", code, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
}

// wantRefusal wants a reload to be refused with these words.
func (s *service) wantRefusal(name, want string) {
	s.t.Helper()
	code, _, errs := s.command("reload")
	if code != 78 || !strings.Contains(errs, want) || len(errs) > 64<<10 {
		s.t.Errorf("%s: exit code %d, %.500s", name, code, errs)
	}
}

// The path may lead to something else than a file, and reading it may not end.
func TestReloadRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	for _, row := range []struct {
		name, want string
		make       func(path string) error
	}{
		{"an endless device", "is larger than", func(path string) error { return os.Symlink("/dev/zero", path) }},
		{"a directory", "is a directory", func(path string) error { return os.Mkdir(path, 0o755) }},
		{"a pipe without a writer", "it is a pipe without a writer", func(path string) error { return syscall.Mkfifo(path, 0o644) }},
		{"a pipe whose writer is silent", "i/o timeout", func(path string) error {
			if err := syscall.Mkfifo(path, 0o644); err != nil {
				return err
			}
			writer, err := os.OpenFile(path, os.O_RDWR, 0)
			t.Cleanup(func() { writer.Close() })
			return err
		}},
	} {
		if err := errors.Join(os.Remove(s.file()), row.make(s.file())); err != nil {
			t.Fatal(err)
		}
		s.wantRefusal(row.name, row.want)
	}
	if err := os.Remove(s.file()); err != nil {
		t.Fatal(err)
	}
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Errorf("the corrected file: exit code %d, %s", code, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
}

func TestReloadRefusesAMissingFile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	if err := os.Remove(s.file()); err != nil {
		t.Fatal(err)
	}
	code, _, errs := s.command("reload")
	if code != 78 || !daemontest.ContainsAll(errs, []string{s.file(), "no such file"}) {
		t.Errorf("exit code %d, %s", code, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
}

func TestReloadRefusesAnUnreadableFile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newService(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old")), nobody: true})
	s.run()
	s.notes.Next(t, "READY=1")
	if err := os.Chmod(s.file(), 0); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.notes.Next(t, "RELOADING=1")
	s.notes.Next(t, "READY=1", "refused")
	s.log.Next(t, "permission denied")
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
}

func TestReloadDryRun(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"))})
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new")))
	code, out, _ := s.command("reload", "--dry-run")
	if code != 0 || !daemontest.ContainsAll(out, []string{"a reload would change:", `header "anthropic-beta"`}) {
		t.Errorf("exit code %d, %q", code, out)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
	if n := s.notes.Count("RELOADING=1"); n > 0 {
		t.Error("systemd was notified of a reload that did not happen")
	}
	if reload := get(t, s.url()+"/health").Object(t)["last_reload"]; reload != nil {
		t.Errorf("/health shows of a reload: %v", reload)
	}
}

func TestReloadReportsNeededRestart(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.configure(forwarding("http://127.0.0.1:9", `listen_addr = "127.0.0.1:8181"`,
		"tailscale {\n  required = false\n  socket = \"/run/other.sock\"\n}\n"))
	for range 2 { // they need one still
		code, out, _ := s.command("reload")
		for _, line := range []string{
			`proxy.listen_addr: "127.0.0.1:8080" -> "127.0.0.1:8181" (needs a restart`,
			`tailscale.socket: "" -> "/run/other.sock" (needs a restart`,
		} {
			if code != 0 || !strings.Contains(out, line) {
				t.Errorf("exit code %d, no %q in %q", code, line, out)
			}
		}
	}
	s.log.Next(t, "needs a restart", "proxy.listen_addr")
	s.log.Next(t, "needs a restart", "tailscale.socket")
}

// The journal says who changed what: the user by the kernel, and the command by the client.
func TestLogSaysWhoReloads(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet), env: []string{"SUDO_USER=alice"}})
	s.configure(forwarding("http://127.0.0.1:9", `idle_timeout = "2m"`, withoutTailnet))
	s.command("reload")
	asked := fmt.Sprintf(`"asked_by":"uid %d, process `, os.Geteuid())
	s.log.Next(t, `"msg":"configuration reloaded"`, asked, ", which says: alice by ")
	s.log.Next(t, `"msg":"setting changed"`, `"setting":"proxy.idle_timeout","before":"\"6m\"","now":"\"2m\""`, asked)
	s.configure("nonsense")
	s.command("reload")
	s.log.Next(t, `"msg":"reload refused; the current configuration is unchanged"`, asked)
	s.configure(forwarding("http://127.0.0.1:9", "", withoutTailnet))
	s.signal(syscall.SIGHUP)
	s.log.Next(t, `"msg":"setting changed"`, `"now":"\"6m\""`, `"asked_by":"signal hangup"`)
	s.command("upgrade")
	s.log.Next(t, `"msg":"upgrade requested"`, fmt.Sprintf("uid %d, process ", os.Geteuid()))
}

// At the limit of slots, queue and 256, the longest idle connection is closed. A client has its
// response a moment before the server counts the connection as idle, so on a busy machine any of
// the first few can be closed.
func TestReloadChangesConnectionLimit(t *testing.T) {
	t.Parallel()
	limits := "max_connections = 1\n  queue_limit = "
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", limits+"0", withoutTailnet)})
	ended := make(chan int, 257)
	for i := range cap(ended) {
		c := s.dial(t)
		c.get(t, "/health")
		go func() {
			_, _ = io.Copy(io.Discard, c.reader)
			ended <- i
		}()
	}
	get(t, s.url()+"/health").Want(t, 200)
	if i := <-ended; i > 15 {
		t.Errorf("the idle connection number %d was closed, want one of the first", i)
	}
	s.configure(forwarding("http://127.0.0.1:9", limits+"50", withoutTailnet))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	get(t, s.url()+"/metrics").Want(t, 200, `proxy_connections_open_limit{admitted="true"} 307`)
}

func TestReloadChangesLogFormat(t *testing.T) {
	t.Parallel()
	config := forwarding("http://127.0.0.1:9", "", withoutTailnet)
	s := start(t, unit{config: config + "log {\n  format = \"json\"\n}\n", asFile: true})
	s.log.Next(t, `{"time":`, `"msg":"serving"`)
	s.configure(config + "log {\n  format = \"text\"\n}\n")
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	s.stop()
	if line := s.log.Next(t, "stopped"); strings.Contains(line, "{") {
		t.Errorf("the log goes on in JSON: %s", line)
	}
}

func TestAdminSocketPermissions(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	info, err := os.Stat(s.dir + "/admin.sock")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("the admin socket has mode %v", info.Mode())
	}
	code, _, errs := s.commandAsNobody("reload")
	if code != 77 || !daemontest.ContainsAll(errs, []string{"error: ", "permission denied", "hint: "}) {
		t.Errorf("as nobody: exit code %d, %s", code, errs)
	}
	s.stop()
	if _, err := os.Stat(s.dir + "/admin.sock"); err == nil {
		t.Error("the admin socket outlives the process")
	}
}

// A drop-in may add directories to RuntimeDirectory=.
func TestAdminSocketInTheFirstDirectory(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.unit.env = []string{"RUNTIME_DIRECTORY=" + s.dir + ":" + daemontest.TempDir(t)}
	s.run()
	s.notes.Next(t, "READY=1")
	s.wantStatus(0, "healthy: serving", "on "+filepath.Join(s.dir, "admin.sock"))
}

func TestStreamKeepsRulesOverReload(t *testing.T) {
	t.Parallel()
	old, next := newUpstream(t), newUpstream(t)
	s := start(t, unit{config: forwarding(old.URL, "", withoutTailnet, adding("old"))})
	response, err := newClient(t).Get(s.url() + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len(firstEvent))
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	s.configure(forwarding(next.URL, "", withoutTailnet, adding("new")))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
	old.open()
	rest, err := io.ReadAll(response.Body)
	if err != nil || string(rest) != lastEvent {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

func TestConcurrentReloads(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	outcomes := make(chan int, 8)
	for range cap(outcomes) {
		go func() {
			code, _, _ := s.command("reload")
			outcomes <- code
		}()
	}
	for range cap(outcomes) {
		if code := <-outcomes; code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	notified := states(s.notes.All())
	for i, m := range notified[:len(notified)-1] {
		if m == "RELOADING=1" && notified[i+1] != "READY=1" {
			t.Errorf("RELOADING=1 was followed by %s", notified[i+1])
		}
	}
}

func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("0"))})
	load := newLoad(t, s.unit.sockets[0].Addr())
	for i := range 20 {
		s.configure(forwarding(u.URL, "", withoutTailnet, adding(string(rune('a'+i)))))
		if code, _, errs := s.command("reload"); code != 0 {
			t.Errorf("reload %d: %s", i, errs)
		}
		load.More(100)
	}
	load.WantNoneLost()
}

func TestReloadReachesOpenConnections(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, "log {\n  level = \"error\"\n}\n")})
	c := s.dial(t)
	if a := c.get(t, "/echo?1"); a.StatusCode != 200 {
		t.Errorf("before: %s", a.Status)
	}
	s.configure(forwarding(u.URL, "", withoutTailnet,
		"log {\n  level = \"info\"\n}\n", "access {\n  allow = [\"100.64.0.9/32\"]\n}\n"))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	if a := c.get(t, "/echo?2"); a.StatusCode != 403 {
		t.Errorf("after: %s", a.Status)
	}
	s.log.Next(t, `"outcome":`, `"status":403`)
	if n := s.log.Count(`"status":200`); n > 0 {
		t.Error("a request was logged at info under the level error")
	}
}

// rawClient is one kept connection.
type rawClient struct {
	reader *bufio.Reader
	conn   io.ReadWriteCloser
}

func (c *rawClient) get(t *testing.T, path string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response
}
