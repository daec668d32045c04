package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/bundle"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/systemd"
)

// runBundle writes one archive with what a bug report needs. It adds what it can read; the archive
// says what is missing, and why.
func runBundle(e env, flags *flag.FlagSet) runner {
	path := e.configFlag(flags)
	daemon := daemonFlag(flags)
	return func(file string) int {
		ctx := context.Background()
		c, configErr := e.loadConfig(*path)
		archive := bundle.New()
		archive.Add("versions.json", "versions of the program, systemd, tailscale, the kernel and the distribution", versions(ctx), nil)
		archive.Add("config.json", "the settings that differ from the defaults", settings(c, configErr), nil)
		err := look(ctx, archive, "status.json", "the output of \"status --json\"", daemon.Status)
		_ = look(ctx, archive, "requests.json", "the requests in flight", daemon.InFlight) // it fails as the first one does
		_ = look(ctx, archive, "failures.json", "what happened to the last requests that failed", daemon.Failures)
		archive.Add("doctor.json", "the output of \"doctor --json\"", doctor.Run(ctx, e.doctorConfig(*path, *daemon)), nil)
		records, journalErr := outputOf(ctx, "journalctl", "--output=json", "--since=-1h", "--lines=5000",
			"--unit="+systemd.ServiceUnit, "--unit="+systemd.SocketUnit)
		archive.AddJournal("journal.txt", "the journal of the units, the last hour", records, journalErr)
		shown, unitsErr := units(ctx)
		archive.Add("units.json", "the state of the units, and their settings with all drop-ins", shown, unitsErr)
		if code := e.save(archive, file); code != exitOK {
			return code
		}
		if err != nil {
			return e.unavailable(err)
		}
		return exitOK
	}
}

func look[T any](ctx context.Context, a *bundle.Archive, name, about string, request func(context.Context) (T, error)) error {
	v, err := request(ctx)
	a.Add(name, about, v, err)
	return err
}

// save lists what is in the archive, then writes it to a new file that only its owner can read, or
// to stdout.
func (e env) save(a *bundle.Archive, file string) int {
	now := time.Now().Truncate(time.Second)
	if file == "-" {
		fmt.Fprint(e.stderr, a.Contents())
		_ = a.Write(e.stdout, now) // output keeps the error
		return exitOK
	}
	file = cmp.Or(file, "oauth-proxyd-bundle-"+time.Now().UTC().Format("20060102T150405.000Z")+".tar.gz")
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		e.failed(fmt.Errorf("making the archive: %w", err), "name another file, or - for standard output")
		return exitFailure
	}
	fmt.Fprint(e.stdout, a.Contents())
	if err := errors.Join(a.Write(out, now), out.Close()); err != nil {
		e.failed(fmt.Errorf("writing the archive to %s: %w", file, errors.Join(err, os.Remove(file))), "")
		return exitFailure
	}
	fmt.Fprintf(e.stdout, "wrote %s; look through it before you send it\n", file)
	return exitOK
}

func settings(c *config.Config, err error) any {
	if c == nil {
		return diagnosticsOf(err)
	}
	return config.Diff(config.Default(), c)
}

// shownProperties lists the properties of units that differ between hosts, as systemd read them.
// The files and drop-ins themselves may have anything in them.
const shownProperties = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload," +
	"ExecMainStatus,NRestarts,MemoryCurrent,MemoryPeak,MemoryMax,MemorySwapMax,TasksMax,LimitNOFILE,Environment,User,Group," +
	"SupplementaryGroups,IPAddressAllow,IPAddressDeny,NotifyAccess,Restart,TimeoutStartUSec,TimeoutStopUSec,WatchdogUSec," +
	"ProtectSystem,ProtectHome,PrivateTmp,PrivateNetwork,TriggeredBy,Listen,BindIPv6Only"

// units returns the properties of the service and of the sockets that start it, line by line.
func units(ctx context.Context) ([]string, error) {
	names := []string{systemd.ServiceUnit, systemd.SocketUnit}
	if triggers, err := outputOf(ctx, "systemctl", "show", "--property=TriggeredBy", "--value", names[0]); err == nil && triggers != "" {
		names = append(names[:1], strings.Fields(triggers)...)
	}
	text, err := outputOf(ctx, "systemctl", append([]string{"show", "--no-pager", "--property=" + shownProperties}, names...)...)
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, "=")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && strings.HasPrefix(name, "Memory") {
			line = name + "=" + strings.ReplaceAll(shortSize(n), " ", "") // the filter replaces long numbers
		}
		lines = append(lines, line)
	}
	return lines, err
}

func versions(ctx context.Context) map[string]string {
	all := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	for name, command := range map[string][]string{
		"systemd": {"systemctl", "--version"}, "tailscale": {"tailscale", "version"}, "kernel": {"uname", "-srm"},
		"distribution": {"sh", "-c", `. /etc/os-release && echo "$ID $VERSION_ID"`},
	} {
		text, err := outputOf(ctx, command[0], command[1:]...)
		if err != nil {
			text = err.Error()
		}
		all[name], _, _ = strings.Cut(text, "\n")
	}
	return all
}

func outputOf(ctx context.Context, program string, args ...string) (string, error) {
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
