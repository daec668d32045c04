package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/bundle"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/proxy"
)

// collect writes one archive with what a report of a fault needs. It reads what it can: what is
// missing is named in the archive.
func collect(e env, flags *flag.FlagSet) runner {
	configFlag(flags)
	client := daemonFlag(flags)
	return func(file string) int {
		daemon := client()
		ctx := context.Background()
		path := e.configPath(flags)
		c, _ := e.loadConfig(path) // doctor says what is wrong with it
		withhold := c == nil || c.Log.Identity != "full"
		status, statusErr := lookAt(ctx, daemon.Status)
		status.Tailnet.LoginURL = "" // who has it, claims this node
		members := []bundle.Member{
			{Name: "versions.txt", About: "of the program, systemd, tailscale, the kernel and the distribution", Content: versions(ctx)},
			member("config.hcl", "the configuration without comments", func() (string, error) { return config.Masked(path) }),
			asJSON("status.json", "what \"status --json\" shows", status, statusErr),
			traces(ctx, "requests.json", "the requests in flight", daemon.InFlight),
			traces(ctx, "failures.json", "what happened to the last requests that failed", daemon.Failures),
			asJSON("doctor.json", "what \"doctor --json\" shows", e.diagnose(ctx, daemon, path, withhold), nil),
			member("journal.txt", "the journal of the units, the last hour", func() (string, error) { return journal(ctx) }),
			member("units.txt", "the units with their drop-ins, without comments, and their state", func() (string, error) { return units(ctx) }),
		}
		archive := bundle.New(bundle.NewScrubber(withhold, e.names(ctx, c)), members)
		if code := e.save(archive, file, withhold); code != exitOK {
			return code
		}
		switch {
		case errors.Is(statusErr, os.ErrPermission):
			e.failed(statusErr, "run it as root or as a member of the group oauth-proxyd")
			return exitNoPerm
		case statusErr != nil:
			e.failed(statusErr, "the archive has the rest")
			return exitUnavailable
		}
		return exitOK
	}
}

// save lists what is in the archive, then writes it to a new file that only its owner can read, or
// to stdout.
func (e env) save(a *bundle.Archive, file string, withhold bool) int {
	now := time.Now().Truncate(time.Second)
	if file == "-" {
		fmt.Fprint(e.stderr, a.Contents())
		return e.written(a.Write(e.stdout, now), "standard output")
	}
	if file == "" {
		file = defaultFile(withhold, now)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		e.failed(fmt.Errorf("making the archive: %w", err), "name another file, or - for standard output")
		return exitFailure
	}
	fmt.Fprint(e.stdout, a.Contents())
	if err := errors.Join(a.Write(out, now), out.Close()); err != nil {
		return e.written(errors.Join(err, os.Remove(file)), file)
	}
	fmt.Fprintf(e.stdout, "%s is written; look through it before you send it\n", file)
	return exitOK
}

func (e env) written(err error, where string) int {
	if err != nil {
		e.failed(fmt.Errorf("writing the archive to %s: %w", where, err), "")
		return exitFailure
	}
	return exitOK
}

// defaultFile is in the current directory. The host's name is in it unless names are withheld.
func defaultFile(withhold bool, now time.Time) string {
	host, err := os.Hostname()
	if withhold || err != nil {
		return "oauth-proxyd-bundle-" + now.UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	return "oauth-proxyd-bundle-" + host + "-" + now.UTC().Format("20060102T150405Z") + ".tar.gz"
}

// names are those that the sources may hold: of this host, its tailnet, and of the configuration.
func (e env) names(ctx context.Context, c *config.Config) []string {
	socket := e.getenv("TAILSCALE_SOCKET")
	var names []string
	if c != nil {
		socket = c.Tailscale.Socket
		for _, s := range slices.Concat(c.Access.Allow, c.Metrics.Allow, c.Identity.From) {
			if s.Kind == config.User || s.Kind == config.Node {
				names = append(names, s.Value)
			}
		}
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	network, _ := doctor.Names(ctx, socket) // without tailscaled, no source had its names
	return append(names, network...)
}

// diagnose runs doctor. The warnings of tailscaled have names in any form.
func (e env) diagnose(ctx context.Context, daemon admin.Client, path string, withhold bool) *doctor.Report {
	report := doctor.Run(ctx, doctor.Config{
		File: path, Daemon: daemon, Load: func() (*config.Config, error) { return e.loadConfig(path) },
		TailscaleSocket: e.getenv("TAILSCALE_SOCKET"), Version: version,
	})
	for i, f := range report.Findings {
		if withhold && f.Check == "tailscaled health" {
			report.Findings[i].Seen, report.Findings[i].Fix = "withheld by log.identity", nil
		}
	}
	return report
}

func member(name, about string, read func() (string, error)) bundle.Member {
	content, err := read()
	return bundle.Member{Name: name, About: about, Content: content, Missing: err}
}

func asJSON(name, about string, v any, err error) bundle.Member {
	return member(name, about, func() (string, error) {
		if err != nil {
			return "", err
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err := encoder.Encode(v)
		return text.String(), err
	})
}

func traces(ctx context.Context, name, about string, request func(context.Context) ([]proxy.Trace, error)) bundle.Member {
	all, err := lookAt(ctx, request)
	return asJSON(name, about, all, err)
}

// lookAt asks the running daemon for one of its reports.
func lookAt[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return request(ctx)
}

// journal is bounded in lines; the archive bounds it in bytes.
func journal(ctx context.Context) (string, error) {
	return output(ctx, "journalctl", "--no-pager", "--no-hostname", "--output=short-iso", "--since=-1h", "--lines=5000",
		"--unit=oauth-proxyd.service", "--unit=oauth-proxyd.socket")
}

// units shows the service and the sockets that start it.
func units(ctx context.Context) (string, error) {
	names := []string{"oauth-proxyd.service", "oauth-proxyd.socket"}
	if triggers, err := output(ctx, "systemctl", "show", "--property=TriggeredBy", "--value", names[0]); err == nil {
		names = append(names[:1], strings.Fields(triggers)...)
	}
	files, err := output(ctx, "systemctl", append([]string{"cat", "--no-pager"}, names...)...)
	if err != nil {
		return "", err
	}
	const properties = "--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,MemoryCurrent,MemoryPeak"
	state, err := output(ctx, "systemctl", append([]string{"show", "--no-pager", properties}, names...)...)
	return withoutComments(files) + "\n" + state, err
}

// withoutComments keeps the names of the files, which systemctl writes as comments.
func withoutComments(files string) string {
	fileName := regexp.MustCompile(`^# /\S+\n$`)
	var kept strings.Builder
	for line := range strings.Lines(files) {
		if first := strings.TrimLeft(line, " \t"); !strings.HasPrefix(first, ";") && !strings.HasPrefix(first, "#") || fileName.MatchString(line) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func versions(ctx context.Context) string {
	var all strings.Builder
	fmt.Fprintf(&all, "oauth-proxyd %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, command := range [][]string{{"systemctl", "--version"}, {"tailscale", "version"}, {"uname", "-srm"}, {"cat", "/etc/os-release"}} {
		text, err := output(ctx, command[0], command[1:]...)
		if err != nil {
			text = err.Error() + "\n"
		}
		all.WriteString("\n" + text)
	}
	return all.String()
}

// output returns what a program of the host prints.
func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}
