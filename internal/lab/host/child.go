package host

import (
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process that ends when this one does, however that happens, with all that it started.
type child struct {
	*exec.Cmd
	ended chan struct{} // closed at the end
	err   error         // how it ended; to be read after ended
}

// startChild starts a command in namespaces of its own. It is the first process of its process
// namespace, so that the kernel ends all in there with it (pid_namespaces(7)); what is mounted is
// not seen outside, and goes with the last of them. It needs a /proc of its own.
func startChild(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS, // Go makes / private with it
		Pdeathsig:    syscall.SIGKILL,
	}
	c := &child{Cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// It is when the thread ends that started it that the kernel kills it (PR_SET_PDEATHSIG):
		// the thread is kept for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}
