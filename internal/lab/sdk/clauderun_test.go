package sdk_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// claude is one major version of Claude Code.
type claude struct {
	name    string
	command []string
	noTools []string // arguments that leave the model without tools
	today   bool
}

// claudes are today's major, which is a program, and the one before it, which is a script.
func claudes(t *testing.T) []claude {
	t.Helper()
	programs, err := filepath.Glob("js/node_modules/@anthropic-ai/claude-code-linux-*/claude")
	if err != nil || len(programs) != 1 { // npm leaves out those of other platforms
		t.Fatalf("programs of Claude Code: %q, %v", programs, err)
	}
	const tools = "Task,Bash,Glob,Grep,ExitPlanMode,Read,Edit,MultiEdit,Write,NotebookEdit,WebFetch,TodoWrite,WebSearch,BashOutput,KillShell,SlashCommand"
	return []claude{
		{"v2", []string{absolute(t, programs[0])}, []string{"--tools", ""}, true},
		{"v1", []string{"node", absolute(t, "js/node_modules/claude-code-before/cli.js")}, []string{"--disallowedTools", tools}, false},
	}
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// onEachClaude runs a test with each major of Claude Code for both kinds of API.
func onEachClaude(t *testing.T, test func(*testing.T, claude, lane)) {
	t.Helper()
	for _, c := range claudes(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			onEachLane(t, func(t *testing.T, l lane) { test(t, c, l) })
		})
	}
}

// claudeCase is one start of Claude Code.
type claudeCase struct {
	prompt, model string
	retries       string // at most; "" is Claude Code's own number
	noTools       bool   // the model has none to call
	headers       string // of the user's own, a line each
	args          []string
}

// The credentials as Claude Code takes them.
const (
	claudeKey          = "ANTHROPIC_API_KEY=" + daemontest.APIKey
	claudeSubscription = "ANTHROPIC_AUTH_TOKEN=" + daemontest.OAuthToken
)

// session is a Claude Code that runs.
type session struct {
	*daemontest.Process
	base   string
	stdout *daemontest.Record
	stderr bytes.Buffer // to be read after the end
}

// start starts Claude Code on a way, in a new home. The prompts that it makes name the home and the
// session: to compare them, both must be the same on each way.
func (c claude) start(t *testing.T, w way, home, credential string, k claudeCase) *session {
	t.Helper()
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	// An id that is made up belongs to the prompt, too.
	write(t, filepath.Join(home, ".claude.json"), []byte(`{"userID":"`+strings.Repeat("0", 64)+`","hasCompletedOnboarding":true}`))
	args := append(c.command[1:len(c.command):len(c.command)],
		"--print", cmp.Or(k.prompt, "hello"), "--model", k.model, "--output-format", "stream-json", "--verbose",
		"--session-id", "11111111-1111-4111-8111-111111111111")
	if k.noTools {
		args = append(args, c.noTools...)
	}
	cmd := exec.Command(c.command[0], append(args, k.args...)...)
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CLAUDE_CONFIG_DIR=" + home, "TMPDIR=" + home, trust(t, home, w),
		"ANTHROPIC_BASE_URL=" + w.base, credential,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_TELEMETRY=1", "DISABLE_ERROR_REPORTING=1", "DISABLE_AUTOUPDATER=1",
		// As in run.mjs: left to itself, fetch asks for brotli over TLS only.
		"ANTHROPIC_CUSTOM_HEADERS=accept-encoding: br, gzip, deflate\n" + k.headers,
	}
	if k.retries != "" {
		cmd.Env = append(cmd.Env, "CLAUDE_CODE_MAX_RETRIES="+k.retries)
	}
	s := &session{base: w.base, stdout: daemontest.NewRecord()}
	cmd.Stdout, cmd.Stderr = s.stdout, &s.stderr
	s.Process = daemontest.Start(t, cmd)
	return s
}

// run runs a case to its end and returns what Claude Code said.
func (c claude) run(t *testing.T, w way, home, credential string, k claudeCase) []string {
	t.Helper()
	s := c.start(t, w, home, credential, k)
	code := s.Exit(t)
	r := s.report(t)
	r.add("exit code %d", code)
	return r.lines
}

// report is what a session said that does not differ from one run to the next.
func (s *session) report(t *testing.T) *report {
	t.Helper()
	_, host, _ := strings.Cut(s.base, "://")
	r := &report{base: host}
	uuid := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	for _, line := range s.stdout.All() {
		var message any
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			t.Fatalf("%v: %q\n%s", err, line, s.stderr.String())
		}
		text, err := json.Marshal(timeless(message))
		if err != nil {
			t.Fatal(err)
		}
		r.add("%s", uuid.ReplaceAllLiteralString(string(text), "UUID"))
	}
	return r
}

// timeless leaves out what belongs to the moment and the process. Of a message, v1 prints what has
// arrived by then.
func timeless(value any) any {
	switch v := value.(type) {
	case map[string]any:
		message := v["role"] == "assistant"
		if v["type"] == "message_start" {
			delete(v, "message")
		}
		for name, member := range v {
			if strings.HasSuffix(name, "_ms") || name == "timestamp" || name == "messaging_socket_path" ||
				message && (name == "stop_reason" || name == "usage") {
				delete(v, name)
				continue
			}
			v[name] = timeless(member)
		}
	case []any:
		for i, element := range v {
			v[i] = timeless(element)
		}
	}
	return value
}
