package gateway_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// startPostgres runs a PostgreSQL server with an empty database and returns the URL of that. It
// listens on a Unix socket only, so it needs no free port.
func startPostgres(t *testing.T) string {
	t.Helper()
	dir := daemontest.TempDir(t)
	ownedByServer(t, dir)
	data := filepath.Join(dir, "data")
	initdb := postgresCommand(t, "initdb", "--pgdata", data, "--username", "lab",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := postgresCommand(t, "postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-F")
	log, process := start(t, server)
	log.Next(t, "database system is ready to accept connections")
	t.Cleanup(func() {
		process.Signal(t, syscall.SIGINT) // does not wait for its clients, unlike SIGTERM
		process.Exit(t)
	})
	return "postgres://lab@localhost/postgres?host=" + dir
}

// postgresCommand runs a program of PostgreSQL as a user without privileges.
func postgresCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(postgresProgram(t, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if uid, gid, needed := serverUser(t); needed {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// postgresProgram finds a program in Debian's folders, which PATH does not include, or in PATH.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v (the Debian package postgresql has it)", err)
	}
	return path
}

// serverUser is who PostgreSQL runs as. It refuses to run as root.
func serverUser(t *testing.T) (uid, gid int, needed bool) {
	t.Helper()
	if os.Getuid() != 0 {
		return 0, 0, false
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if uid, err = strconv.Atoi(nobody.Uid); err != nil {
		t.Fatal(err)
	}
	if gid, err = strconv.Atoi(nobody.Gid); err != nil {
		t.Fatal(err)
	}
	return uid, gid, true
}

func ownedByServer(t *testing.T, dir string) {
	t.Helper()
	if uid, gid, needed := serverUser(t); needed {
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a program. Its output is shown if the test fails.
func start(t *testing.T, cmd *exec.Cmd) (*daemontest.Record, *daemontest.Process) {
	t.Helper()
	output := daemontest.NewRecord()
	cmd.Stdout, cmd.Stderr = output, output
	process := daemontest.Start(t, cmd)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the output of %s:\n%s", cmd.Args[0], output.Text())
		}
	})
	return output, process
}
