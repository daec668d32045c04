package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Host is a booted host.
type Host struct {
	leader  int           // process id, out here, of the host's first process
	nspawn  *exec.Cmd     // its supervisor
	cgroups []string      // folders that are the host's
	ended   chan struct{} // closed when the supervisor is gone
	err     error         // how that ended; to be read after ended
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
	h := &Host{ended: make(chan struct{})}
	if h.cgroups, err = makeCgroups(); err != nil {
		return nil, err
	}
	h.nspawn = supervisor(image, h.cgroups, notes.address())
	h.nspawn.Stdout, h.nspawn.Stderr = console, console
	if err := h.start(); err != nil {
		return nil, errors.Join(err, removeCgroups(h.cgroups))
	}
	if err := h.await(ctx, notes); err != nil {
		return nil, errors.Join(fmt.Errorf("booting the host: %w", err), h.Close())
	}
	return h, nil
}

// start runs the supervisor until it ends. The kernel kills it when the thread that
// started it ends (PR_SET_PDEATHSIG), so that thread is kept for it.
func (h *Host) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := h.nspawn.Start()
		started <- err
		if err == nil {
			h.err = h.nspawn.Wait()
			close(h.ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting the host: %w", err)
	}
	return nil
}

// await finds the host's first process once the host is up.
func (h *Host) await(ctx context.Context, n notes) error {
	leader, err := n.await(ctx, h.ended)
	if err != nil {
		return err
	}
	h.leader, err = childNamed(h.nspawn.Process.Pid, leader)
	return err
}

// Close ends the host as a power failure would, and waits until nothing of it is
// left. It may be called again.
func (h *Host) Close() error {
	if err := h.nspawn.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the host: %w", err)
	}
	<-h.ended
	return removeCgroups(h.cgroups)
}

// supervisor is the command that boots a host. It has a mount namespace of its own:
// nothing that is mounted in it is seen outside, or outlives it. It is the first
// process of its process namespace, which includes the host's, so that the kernel
// ends all of them with it (pid_namespaces(7)).
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
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS, // Go makes / private with it
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd
}
