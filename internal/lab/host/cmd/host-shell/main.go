// Command host-shell boots a throw-away host, installs the Debian packages named by its arguments,
// and gives a shell on it. The host ends with the shell.
//
//	host-shell [-release SUITE] [PACKAGE]...
//	host-shell -check    only says why hosts cannot be booted here, with exit code 1
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"oauth-proxyd/internal/lab/host"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) (exitCode int) {
	flags := flag.NewFlagSet("host-shell", flag.ContinueOnError)
	check := flags.Bool("check", false, "only say why hosts cannot be booted here")
	suite := flags.String("release", host.Usual().Suite, "the `SUITE` of the host's release")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := host.Supported(); err != nil {
		return fail(err)
	}
	if *check {
		return 0
	}
	release, err := host.ReleaseOf(*suite)
	if err != nil {
		return fail(err)
	}
	return give(release, flags.Args())
}

// give boots a host, and ends it with its shell.
func give(release host.Release, packages []string) (exitCode int) {
	// The keyboard's signals are for the shell. Ignored, they would be so in there.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGQUIT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	image, err := host.OpenImage(ctx, release, os.Stderr)
	if err != nil {
		return fail(err)
	}
	h, err := host.Boot(ctx, image, io.Discard)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			exitCode = fail(err)
		}
	}()
	if err := install(ctx, h, packages); err != nil {
		return fail(err)
	}
	fmt.Println("This host is gone when you leave its shell. Its network is loopback only.")
	return shell(ctx, h)
}

func install(ctx context.Context, h *host.Host, packages []string) error {
	for _, file := range packages {
		content, err := os.ReadFile(file) //nolint:gosec // a developer names the file
		if err != nil {
			return err
		}
		inside := "/root/" + filepath.Base(file)
		if err := h.WriteFile(ctx, inside, content); err != nil {
			return err
		}
		dpkg := h.Command(ctx, "dpkg", "--install", inside)
		dpkg.Stdout, dpkg.Stderr = os.Stdout, os.Stderr
		if err := dpkg.Run(); err != nil {
			return fmt.Errorf("installing %s: %w", file, err)
		}
	}
	return nil
}

// shell gives this terminal to the host; script(1) makes one there, because ours has no name
// inside.
func shell(ctx context.Context, h *host.Host) (exitCode int) {
	cmd := h.Command(ctx, "script", "--quiet", "--return", "--command", "bash --login", "/dev/null")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(cmd.Env, "TERM="+os.Getenv("TERM"))
	cmd.SysProcAttr = nil // of a group of its own, it could not read the terminal
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	if err := cmd.Run(); cmd.ProcessState == nil {
		return fail(err)
	}
	return cmd.ProcessState.ExitCode()
}

func fail(err error) int {
	fmt.Fprintf(os.Stderr, "error: %v\n", err)
	return 1
}
