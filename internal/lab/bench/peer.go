package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Ours is the name of the peer that the others are compared with.
const Ours = "oauth-proxyd"

// Peer is a proxy to measure.
type Peer struct {
	Name    string
	program string // a build of oauth-proxyd
	// start has it listen at an address in front of a target. A stop must follow, unless it failed.
	start func(ctx context.Context, site site) (*rig.Process, func(), error)
}

// site is where a peer is to run.
type site struct {
	dir      string // for its files; of its own
	place    rig.Place
	address  string // to listen at
	upstream *rig.Upstream
	secure   bool // TLS to the upstream
}

// workers is how many processes or threads a server may have that does not count the cores.
func (s site) workers() int { return strings.Count(s.place.Cores, ",") + 1 }

// target is the upstream's address.
func (s site) target() string {
	if s.secure {
		return s.upstream.TLS
	}
	return s.upstream.Plain
}

// url is the upstream's.
func (s site) url() string {
	if s.secure {
		return "https://" + s.upstream.TLS
	}
	return "http://" + s.upstream.Plain
}

// Programs are where the two programs are that the harness does not find in PATH.
type Programs struct {
	Ours   string // oauth-proxyd
	Bare   string // the bare httputil.ReverseProxy
	Newest string // a folder with further servers; see newest
	// Others are further builds of oauth-proxyd, to compare a change with what was before.
	Others []Build
}

// Build is a program with a name for the table.
type Build struct{ Name, File string }

// Peers returns the peers that can be started here. missing names the others.
func Peers(p Programs) (found []Peer, missing []string) {
	for _, b := range append([]Build{{Ours, p.Ours}}, p.Others...) {
		found = append(found, Peer{Name: b.Name, program: b.File, start: daemon(b.File)})
	}
	for _, s := range servers() {
		program, err := exec.LookPath(s.program)
		if err != nil { // where an unprivileged user's PATH does not lead
			program, err = exec.LookPath(filepath.Join("/usr/sbin", s.program))
		}
		if err != nil {
			missing = append(missing, s.name)
			continue
		}
		found = append(found, Peer{Name: s.name, start: s.starter(program)})
	}
	found = append(found, newest(p.Newest)...)
	return append(found, Peer{Name: "httputil", start: bare(p.Bare)}), missing
}

// newest returns the servers that .ci/bench-newest has put into a folder, as nginx-1.30.6.
func newest(dir string) (found []Peer) {
	for _, s := range append(servers(), server{"nginx h2", "nginx", "nginx.conf", nginxArgs, nginxHTTP2}) {
		files, _ := filepath.Glob(filepath.Join(dir, s.program+"-*")) // the pattern is well-formed
		for _, file := range files {
			if program, err := filepath.Abs(file); err == nil {
				version := strings.TrimPrefix(filepath.Base(file), s.program+"-")
				found = append(found, Peer{Name: s.name + " " + version, start: s.starter(program)})
			}
		}
	}
	return found
}

func daemon(program string) func(context.Context, site) (*rig.Process, func(), error) {
	return func(ctx context.Context, s site) (*rig.Process, func(), error) {
		program, err := s.copied(program)
		if err != nil {
			return nil, nil, err
		}
		authority := ""
		if s.secure {
			authority = s.upstream.Authority
		}
		d, err := rig.StartDaemon(ctx, rig.DaemonConfig{
			Program: program, Address: s.address, Upstream: s.url(), Authority: authority, Place: s.place, Dir: s.dir,
			Settings: "max_connections = 6000", // of which the default would queue some
		})
		if err != nil {
			return nil, nil, err
		}
		return d.Process, d.Close, nil
	}
}

func bare(program string) func(context.Context, site) (*rig.Process, func(), error) {
	return func(ctx context.Context, s site) (*rig.Process, func(), error) {
		program, err := s.copied(program)
		if err != nil {
			return nil, nil, err
		}
		return launch(ctx, s, program, s.address, s.url(), s.upstream.Authority)
	}
}

// copied returns a fresh copy of a program that was just built. Where in memory the kernel keeps a
// file affects its speed by up to a tenth, and that changes with each copy.
func (s site) copied(program string) (string, error) {
	file, err := exec.LookPath(program)
	if err != nil {
		return "", err
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	fresh := filepath.Join(s.dir, "program")
	return fresh, os.WriteFile(fresh, code, 0o755) //nolint:gosec // a program
}

// launch starts a program and waits for its port.
func launch(ctx context.Context, s site, args ...string) (*rig.Process, func(), error) {
	p, err := rig.Start(rig.Program{Args: args, Env: []string{"HOME=" + s.dir}, Place: s.place, Log: filepath.Join(s.dir, "log")})
	if err != nil {
		return nil, nil, err
	}
	if err := p.AwaitPort(ctx, s.address); err != nil {
		p.Stop()
		return nil, nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	return p, p.Stop, nil
}
