package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Host is a booted host.
type Host struct {
	supervisor *child   // systemd-nspawn
	leader     int      // process id, out here, of the host's first process
	cgroups    []string // folders that are the host's
}

// Boot starts a host from an image and returns when systemd says that it is up. The host's console
// goes to the given writer. It has a network of its own with nothing in it but loopback. More
// options for systemd-nspawn(1) may follow, such as WithoutBPF.
//
// What the host is made of lives in namespaces of its own: when this process ends, however that
// happens, the host ends with it, and its files and mounts go with its last process. Close does the
// same in order, and leaves no control group behind.
func Boot(ctx context.Context, image Image, console io.Writer, options ...string) (*Host, error) {
	notes, err := listenNotes()
	if err != nil {
		return nil, err
	}
	defer notes.close()
	groups, err := makeCgroups()
	if err != nil {
		return nil, err
	}
	cmd := supervisor(image, groups, notes.address(), options)
	cmd.Stdout, cmd.Stderr = console, console
	nspawn, err := startChild(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the host: %w", err), removeCgroups(groups))
	}
	h := &Host{supervisor: nspawn, cgroups: groups}
	if err := h.await(ctx, notes); err != nil {
		return nil, errors.Join(fmt.Errorf("booting the host: %w", err), h.Close())
	}
	return h, nil
}

// await finds the host's first process once the host is up.
func (h *Host) await(ctx context.Context, n notes) error {
	leader, err := n.await(ctx, h.supervisor.ended)
	if err != nil {
		return err
	}
	h.leader, err = childNamed(h.supervisor.Process.Pid, leader)
	return err
}

// Close ends the host as a power failure would, and waits until nothing of it is left. It may be
// called again.
func (h *Host) Close() error {
	if err := h.supervisor.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the host: %w", err)
	}
	<-h.supervisor.ended
	return removeCgroups(h.cgroups)
}

// WithoutBPF boots a host whose systemd cannot filter packets, as in most containers.
const WithoutBPF = "--system-call-filter=~bpf"

// supervisor is the command that boots a host, as a child. Its systemd may load the programs with
// which it filters packets, as it may on a machine.
func supervisor(image Image, cgroups []string, notify string, options []string) *exec.Cmd {
	const script = `
image=$1 place=$2 groups=$3; shift 3
for group in $groups; do echo $$ >"$group/cgroup.procs"; done
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run # what the supervisor notes there
mount -t tmpfs -o mode=755 host "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$image,upperdir=$place/upper,workdir=$place/work" host "$place/root"
exec systemd-nspawn --quiet --directory="$place/root" --machine=lab --boot --notify-ready=yes \
	--register=no --keep-unit --private-network --link-journal=no --console=pipe --system-call-filter=bpf "$@"
`
	cmd := exec.Command("sh", append([]string{"-euc", script, "sh", image.root, image.mountPoint(), strings.Join(cgroups, " ")}, options...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=" + notify}
	if image.release.unified {
		cmd.Env = append(cmd.Env, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	}
	cmd.Dir = "/"
	return cmd
}
