package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// installed returns a service with a program that can be replaced, as a package does.
func installed(t *testing.T, u unit) (s *service, program string) {
	t.Helper()
	original, err := exec.LookPath("oauth-proxyd")
	if err != nil {
		t.Fatal(err)
	}
	dir := daemontest.TempDir(t)
	program = filepath.Join(dir, "oauth-proxyd")
	install(t, program, original)
	u.env = append(u.env, "PATH="+dir+":"+os.Getenv("PATH"))
	return start(t, u), program
}

// install puts a copy of file where program is.
func install(t *testing.T, program, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	installText(t, program, string(content))
}

func installText(t *testing.T, program, content string) {
	t.Helper()
	if err := os.WriteFile(program+".new", []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
}

// mainProcess waits for the next MAINPID=.
func (s *service) mainProcess() int {
	s.t.Helper()
	pid, err := strconv.Atoi(daemontest.Field(s.notes.Next(s.t, "MAINPID="), "MAINPID"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.successors = append(s.successors, pid)
	return pid
}

// wantNoSuccessor wants an upgrade to have changed nothing.
func (s *service) wantNoSuccessor() {
	s.t.Helper()
	if n := s.notes.Count("MAINPID="); n != 0 {
		s.t.Errorf("the service manager was notified of %d other processes", n)
	}
}

// wantUpgrade upgrades and returns the new process.
func (s *service) wantUpgrade() int {
	s.t.Helper()
	code, out, errs := s.command("upgrade")
	pid := s.mainProcess()
	if code != 0 || out != "process "+strconv.Itoa(pid)+" serves now; the old process finishes its open requests\n" || errs != "" {
		s.t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	s.notes.Next(s.t, "READY=1", "STATUS=Serving on")
	return pid
}

func TestUpgradesUnderLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].Addr())
	stream := u.openStream(t, newClient(t), s.url())
	processes := map[int]bool{}
	for range 5 {
		load.More(50)
		processes[s.wantUpgrade()] = true
	}
	load.More(50)
	load.WantNoneLost()
	if len(processes) != 5 {
		t.Errorf("processes %v served", processes)
	}
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
}

func TestNewProcessPingsAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := installed(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:    []string{"WATCHDOG_USEC=3600000000"}, // an hour: none comes on its own
	})
	for range 2 {
		s.wantUpgrade()
		s.notes.Next(t, "WATCHDOG=1")
	}
}

func TestNewProcessOwnsSingletons(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	dir := daemontest.TempDir(t)
	file := filepath.Join(dir, "x.prom")
	textfile := "metrics {\n  textfile = \"" + file + "\"\n  textfile_interval = \"100ms\"\n}\n"
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, adding("old"), textfile)})
	stream := u.openStream(t, newClient(t), s.url())
	get(t, s.url()+"/echo").Want(t, 200, `beta="old"`)
	s.configure(forwarding(u.URL, "", withoutTailnet, adding("new"), textfile))
	s.wantUpgrade()
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)

	s.configure(forwarding(u.URL, "", withoutTailnet, adding("newer"), textfile))
	if code, out, errs := s.command("reload"); code != 0 || !strings.Contains(out, "reloaded; changed:") {
		t.Errorf("reload: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="newer"`)
	daemontest.Eventually(t, "the new process writes the textfile", func() bool {
		return strings.Contains(read(t, file), `proxy_requests_total{method="GET",status="200"} 2`)
	})
	get(t, s.url()+"/health").Want(t, 200, `"status": "healthy"`)
	var before []any
	daemontest.Eventually(t, "the process before says what it has", func() bool {
		before = get(t, s.url()+"/health").Object(t)["predecessors"].([]any)
		return len(before) == 1
	})
	if before[0].(map[string]any)["pid"] != float64(s.process.PID) || before[0].(map[string]any)["in_flight"] != 1.0 {
		t.Errorf("/health shows of the processes %v before it", before)
	}
	s.wantStatus(0, "healthy: ", fmt.Sprintf(
		"predecessor %d, version v0.0.0-test, finishing 1 request since the upgrade ", s.process.PID))
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_predecessors 1\n", "\nproxy_predecessors_requests_in_flight 1\n")
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
	if code, _, errs := s.command("reload"); code != 0 {
		t.Errorf("reload after the end of the old process: %d %q", code, errs)
	}
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_predecessors 0\n", "\nproxy_predecessors_requests_in_flight 0\n")
	if text := read(t, file); !strings.Contains(text, `proxy_requests_total{method="GET",status="200"} 2`) {
		t.Error("the old process has written the textfile at its end")
	}
}

func TestUpgradeBySIGUSR2(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	if err := daemontest.Build(program+".v9", "v9.9.9"); err != nil {
		t.Fatal(err)
	}
	install(t, program, program+".v9")
	get(t, s.url()+"/health").Want(t, 200, `"version": "v0.0.0-test"`)
	s.signal(syscall.SIGUSR2)
	s.mainProcess()
	s.wantExit(0)
	get(t, s.url()+"/health").Want(t, 200, `"version": "v9.9.9"`)
}

func TestUpgradeBeforeRunning(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Starting")
	s := newService(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "exit"))})
	s.run()
	s.notes.Next(t, "STATUS=Waiting to retry the tailnet (1 of 5)")
	s.signal(syscall.SIGUSR2)
	d.Become("Running")
	s.notes.Next(t, "READY=1", "tailnet connected")
	s.mainProcess()
	s.wantExit(0)
}

func TestFailedUpgradeChangesNothing(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		sabotage func(t *testing.T, s *service, program string)
		want     string
	}{
		"no program": {
			func(t *testing.T, _ *service, program string) { remove(t, program) },
			"no such file or directory",
		},
		"not executable": {
			func(t *testing.T, _ *service, program string) {
				if err := os.Chmod(program, 0o644); err != nil {
					t.Fatal(err)
				}
			},
			"permission denied",
		},
		"another architecture": {
			func(t *testing.T, _ *service, program string) {
				installText(t, program, "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00")
			},
			"exec format error",
		},
		"it leaves": {
			func(t *testing.T, _ *service, program string) { installText(t, program, "#!/bin/sh\nexit 3\n") },
			"the new process ended before it served",
		},
		"it is killed": {
			func(t *testing.T, _ *service, program string) { installText(t, program, "#!/bin/sh\nkill -9 $$\n") },
			"the new process ended before it served",
		},
		"a bad configuration": {
			func(_ *testing.T, s *service, _ string) { s.configure("prxy {}\n") },
			"the new process does not serve: The configuration is refused; run: oauth-proxyd check --config /",
		},
		"no admin socket": {
			func(t *testing.T, s *service, _ string) { occupy(t, filepath.Join(s.dir, "admin.sock.new")) },
			"the new process does not serve: opening the admin socket: ",
		},
		"a tailnet that is not there": {
			func(_ *testing.T, s *service, _ string) {
				s.configure("tailscale {\n  when_down = \"exit\"\n  socket = \"/none/tailscaled.sock\"\n}\n")
			},
			"the new process does not serve: Gave up: ",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
			stream := u.openStream(t, newClient(t), s.url())
			c.sabotage(t, s, program)
			code, out, errs := s.command("upgrade")
			if code != 1 || out != "" || !daemontest.ContainsAll(errs, []string{"error: not upgraded: ", c.want, "hint: the running process is still in charge"}) {
				t.Errorf("upgrade: %d %q %q", code, out, errs)
			}
			s.log.Next(t, "the upgrade failed; this process keeps running", c.want)
			s.notes.Next(t, "STATUS=Serving on", "the last upgrade failed", c.want)
			s.wantStatus(0, "healthy: serving, with 1 warning\n", "warning the last upgrade failed and this process keeps running: ")
			get(t, s.url()+"/echo").Want(t, 200)
			u.open()
			stream.wantWhole(t)
			s.wantNoSuccessor()
			s.signal(syscall.SIGTERM)
			s.wantExit(0)
		})
	}
}

// A new program that stops within two seconds of its start takes nothing over.
func TestSuccessorThatDoesNotLast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal syscall.Signal
		want   string
	}{
		"crashed": {syscall.SIGSEGV, "the new process ended before it served"},
		"frozen":  {syscall.SIGSTOP, "the new process does not serve: it was not ready within 30s"},
		"stopped": {syscall.SIGTERM, "the new process does not serve: it is draining"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
			stream := u.openStream(t, newClient(t), s.url())
			load := newLoad(t, s.unit.sockets[0].Addr())
			outcome, pid := s.beginUpgrade(program)
			if err := syscall.Kill(pid, c.signal); err != nil {
				t.Fatal(err)
			}
			if errs := <-outcome; !strings.Contains(errs, "error: not upgraded: "+c.want) {
				t.Errorf("upgrade: %q", errs)
			}
			daemontest.Eventually(t, "the new process has ended", func() bool { return hasEnded(pid) })
			s.wantNoSuccessor()
			load.More(10)
			load.WantNoneLost()
			u.open()
			stream.wantWhole(t)
			s.wantUpgrade()
		})
	}
}

// beginUpgrade returns when the new process is ready, two seconds before it takes over.
func (s *service) beginUpgrade(program string) (errs <-chan string, pid int) {
	s.t.Helper()
	original := program + ".real"
	if !exists(original) {
		install(s.t, original, program)
	}
	pidFile := program + ".pid"
	installText(s.t, program, "#!/bin/bash\n[ $1 = serve ] && echo $$ > "+pidFile+"\nexec -a oauth-proxyd "+original+" \"$@\"\n")
	outcome := make(chan string, 1)
	go func() {
		_, _, errs := s.command("upgrade")
		outcome <- errs
	}()
	s.log.Next(s.t, "ready to take over")
	pid, err := strconv.Atoi(strings.TrimSpace(read(s.t, pidFile)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.successors = append(s.successors, pid)
	return outcome, pid
}

// systemd sends SIGTERM to both processes, and a second one to those that outlive the main one.
func TestStopDuringProof(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].Addr())
	for range 3 {
		load.More(50)
		outcome, pid := s.beginUpgrade(program)
		load.More(10)
		_ = syscall.Kill(pid, syscall.SIGTERM)
		s.signal(syscall.SIGTERM)
		if errs := <-outcome; !strings.Contains(errs, "error: not upgraded: ") {
			t.Errorf("upgrade: %q", errs)
		}
		if code := s.process.Exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
		daemontest.Eventually(t, "the new process has ended", func() bool { return hasEnded(pid) })
		s.run()
	}
	load.More(50)
	load.WantNoneLost()
	s.wantNoSuccessor()
}

// The main process ends last, so that systemd does not hurry the other.
func TestStopAfterUpgrades(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "30s"`, withoutTailnet)})
	load := newLoad(t, s.unit.sockets[0].Addr())
	stream := u.openStream(t, newClient(t), s.url())
	pids := []int{s.wantUpgrade(), s.wantUpgrade()}
	s.signal(syscall.SIGTERM)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	s.notes.Next(t, "STOPPING=1")
	s.notes.Next(t, "EXTEND_TIMEOUT_USEC=35000000")
	for _, pid := range pids {
		if hasEnded(pid) {
			t.Errorf("process %d has ended before the one before it", pid)
		}
	}
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
	for _, pid := range pids {
		daemontest.Eventually(t, "the process after it has ended", func() bool { return hasEnded(pid) })
	}
	s.run()
	load.More(20)
	load.WantNoneLost()
}

func TestStopEndsBothProcesses(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1s"`, withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	successor := s.wantUpgrade()
	s.signal(syscall.SIGTERM) // systemd sends it to all
	if err := syscall.Kill(successor, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stream.wantCut(t, `"error_code":"draining"`)
	s.wantExit(75)
	s.notes.Next(t, "STOPPING=1")
	daemontest.Eventually(t, "the successor has ended", func() bool { return hasEnded(successor) })
}

// hasEnded reports whether a process has ended, including a zombie: the test is its parent.
func hasEnded(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(state), ") Z ")
}

func TestUpgradeWithoutDescriptors(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	restore := takeDescriptors(t, s)
	s.signal(syscall.SIGUSR2)
	s.log.Next(t, "the upgrade failed; this process keeps running", "too many open files")
	restore()
	get(t, s.url()+"/echo").Want(t, 200)
	s.wantNoSuccessor()
}

// A new program that hangs is killed.
func TestStopDuringUpgrade(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	pidFile := program + ".pid"
	installText(t, program, "#!/bin/sh\necho $$ > "+pidFile+".new && mv "+pidFile+".new "+pidFile+"\nexec sleep 1000\n")
	s.signal(syscall.SIGUSR2)
	daemontest.Eventually(t, "the new program runs", func() bool { _, err := os.Stat(pidFile); return err == nil })
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, pidFile)))
	if err != nil {
		t.Fatal(err)
	}
	s.successors = append(s.successors, pid)
	get(t, s.url()+"/echo").Want(t, 200)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	daemontest.Eventually(t, "the new program has ended", func() bool { return hasEnded(pid) })
	s.wantNoSuccessor()
}

func TestConcurrentUpgrades(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	const n = 5
	outcomes := make(chan string, n)
	for range n {
		go func() {
			_, out, _ := s.command("upgrade", "--json")
			outcomes <- out
		}()
	}
	pids := map[int]bool{}
	for range n {
		var o struct{ PID int }
		if err := json.Unmarshal([]byte(<-outcomes), &o); err != nil || o.PID == 0 {
			t.Errorf("%v", err)
		}
		pids[o.PID] = true
	}
	for range pids {
		if pid := s.mainProcess(); !pids[pid] {
			t.Errorf("the service manager was notified of process %d", pid)
		}
	}
	get(t, s.url()+"/echo").Want(t, 200)
	u.open()
	stream.wantWhole(t)
}

func TestHandoverTimeoutCutsStreams(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `handover_timeout = "1s"`, withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	s.wantUpgrade()
	stream.wantCut(t)
	s.wantExit(75)
	get(t, s.url()+"/echo").Want(t, 200)
}

// occupy makes a directory at path, so that no file can be made there.
func occupy(t *testing.T, place string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(place, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
