package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Host is a booted host.
type Host struct {
	supervisor *child   // systemd-nspawn
	leader     int      // process id, out here, of the host's first process
	cgroups    []string // folders that are the host's
}

// Boot starts a host from an image and returns when systemd says that it is up. The
// host's console goes to the given writer. It has a network of its own with
// nothing in it but loopback.
//
// What the host is made of lives in namespaces of its own: when this process ends,
// however that happens, the host ends with it, and its files and mounts go with its
// last process. Close does the same in order, and leaves no control group behind.
func Boot(ctx context.Context, image Image, console io.Writer) (*Host, error) {
	notes, err := listenNotes()
	if err != nil {
		return nil, err
	}
	defer notes.close()
	groups, err := makeCgroups()
	if err != nil {
		return nil, err
	}
	cmd := supervisor(image, groups, notes.address())
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

// Close ends the host as a power failure would, and waits until nothing of it is
// left. It may be called again.
func (h *Host) Close() error {
	if err := h.supervisor.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the host: %w", err)
	}
	<-h.supervisor.ended
	return removeCgroups(h.cgroups)
}

// supervisor is the command that boots a host, as a child.
func supervisor(image Image, cgroups []string, notify string) *exec.Cmd {
	const script = `
image=$1 place=$2; shift 2
for group; do echo $$ >"$group/cgroup.procs"; done
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run # what the supervisor notes there
mount -t tmpfs -o mode=755 host "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$image,upperdir=$place/upper,workdir=$place/work" host "$place/root"
exec systemd-nspawn --quiet --directory="$place/root" --machine=lab --boot --notify-ready=yes \
	--register=no --keep-unit --private-network --link-journal=no --console=pipe
`
	cmd := exec.Command("sh", append([]string{"-euc", script, "sh", image.root, image.mountPoint()}, cgroups...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=" + notify}
	cmd.Dir = "/"
	return cmd
}
