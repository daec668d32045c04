package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Supported is nil where hosts can be booted, and says what is missing elsewhere.
func Supported() error {
	if runtime.GOOS != "linux" {
		return errors.New("hosts are booted on Linux only")
	}
	if os.Geteuid() != 0 {
		return errors.New("booting a host needs root")
	}
	for _, command := range []string{"debootstrap", "systemd-nspawn", "nsenter"} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Errorf("booting a host: %w", err)
		}
	}
	return tryPrivileges()
}

// tryPrivileges does what root in a container may not: mount, and make control groups.
func tryPrivileges() error {
	mount := exec.Command("mount", "-t", "tmpfs", "try", "/run")
	mount.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	if out, err := mount.CombinedOutput(); err != nil {
		return fmt.Errorf("mounting in a namespace: %w %s", err, strings.TrimSpace(string(out)))
	}
	groups, err := makeCgroups()
	if err != nil {
		return err
	}
	return removeCgroups(groups)
}
