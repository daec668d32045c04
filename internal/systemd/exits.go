package systemd

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Exits says how the processes of a service have ended lately.
type Exits struct {
	Result, Status string // of the last one, as of Unit; empty: none ended
	Times          int    // how often in the last minute
}

const (
	// processExit is the MESSAGE_ID= of the records about processes that ended, see
	// systemd.journal-fields(7) and sd-messages.h.
	processExit = "98e322203f7a4ed290d09fe03c09fe15"
	// startsAgain is how long after an exit a service may start again. A process that has run for
	// longer is not one of a loop.
	startsAgain = 10 * time.Second
)

// RecentExits asks the journal how the main processes of a service have ended in the last minute.
// systemd forgets that when a client has it start the service again. Only root and the group
// systemd-journal may ask; for others, there are none.
func RecentExits(ctx context.Context, service string) Exits {
	c := exec.CommandContext(ctx, "journalctl", "--no-pager", "--output=json", "--since=-1min", "--lines=200",
		"UNIT="+service, "MESSAGE_ID="+processExit, "COMMAND=ExecStart")
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		return Exits{}
	}
	return parseExits(string(out), time.Now())
}

// parseExits counts the exits that ended as the last one did.
func parseExits(journal string, now time.Time) (e Exits) {
	var last time.Time
	for line := range strings.Lines(journal) {
		var record struct {
			Code   string `json:"EXIT_CODE"`
			Status string `json:"EXIT_STATUS"`
			At     string `json:"__REALTIME_TIMESTAMP"`
		}
		if json.Unmarshal([]byte(line), &record) != nil {
			continue
		}
		result := "exit-code"
		if record.Code != "exited" {
			result = "signal"
		}
		if result != e.Result || record.Status != e.Status {
			e = Exits{Result: result, Status: record.Status}
		}
		e.Times++
		at, _ := strconv.ParseInt(record.At, 10, 64)
		last = time.UnixMicro(at)
	}
	if now.Sub(last) > startsAgain || e.Result == "exit-code" && e.Status == "0" {
		return Exits{}
	}
	return e
}

// Ending says how the last process ended; empty: normally, or not lately.
func (e Exits) Ending() string {
	if e.Times == 0 {
		return ""
	}
	times := "once"
	if e.Times > 1 {
		times = fmt.Sprintf("%d times", e.Times)
	}
	return fmt.Sprintf("%s (%s in the last minute)", Ending(e.Result, e.Status), times)
}

// failedCommand describes the command of a service, such as its ExecStartPre=, that failed. The
// command is only named, because its arguments may be secret.
func failedCommand(setting, shown string) string {
	status := strings.TrimSuffix(between(shown, " ; status=", " }"), "/0")
	if status == "" || status == "0" || strings.Contains(shown, " ; ignore_errors=yes") {
		return ""
	}
	return setting + "=" + between(shown, "path=", " ; argv[]=") + " failed, exit " + status
}

// Setting returns the setting of the unit because of which systemd could not start a process, from
// the exit status that it reports in place of the process (systemd.exec(5)); empty: another status.
func Setting(status string) string {
	setting, _ := startFailure(status)
	return setting
}

// startFailure returns the setting, and the name of the status.
func startFailure(status string) (setting, name string) {
	failures := map[string][2]string{
		"200": {"WorkingDirectory=", "CHDIR"}, "201": {"Nice=", "NICE"}, "202": {"Sockets=", "FDS"},
		"203": {"ExecStart=", "EXEC"}, "204": {"MemoryMax=", "MEMORY"}, "205": {"LimitNOFILE= or another Limit…=", "LIMITS"},
		"206": {"OOMScoreAdjust=", "OOM_ADJUST"}, "208": {"StandardInput=", "STDIN"}, "209": {"StandardOutput=", "STDOUT"},
		"210": {"RootDirectory=", "CHROOT"}, "211": {"IOSchedulingClass=", "IOPRIO"}, "212": {"TimerSlackNSec=", "TIMERSLACK"},
		"213": {"SecureBits=", "SECUREBITS"}, "214": {"CPUSchedulingPolicy=", "SETSCHEDULER"}, "215": {"CPUAffinity=", "CPUAFFINITY"},
		"216": {"Group= or SupplementaryGroups=", "GROUP"}, "217": {"User=", "USER"}, "218": {"CapabilityBoundingSet= or AmbientCapabilities=", "CAPABILITIES"},
		"219": {"Slice=", "CGROUP"}, "222": {"StandardError=", "STDERR"}, "224": {"PAMName=", "PAM"}, "225": {"PrivateNetwork=", "NETWORK"},
		"226": {"ReadWritePaths=, PrivateTmp= or another setting of its sandbox", "NAMESPACE"}, "227": {"NoNewPrivileges=", "NO_NEW_PRIVILEGES"},
		"228": {"SystemCallFilter=", "SECCOMP"}, "229": {"SELinuxContext=", "SELINUX_CONTEXT"}, "230": {"Personality=", "PERSONALITY"},
		"231": {"AppArmorProfile=", "APPARMOR_PROFILE"}, "232": {"RestrictAddressFamilies=", "ADDRESS_FAMILIES"},
		"233": {"RuntimeDirectory=", "RUNTIME_DIRECTORY"}, "235": {"User= or Group=", "CHOWN"}, "237": {"KeyringMode=", "KEYRING"},
		"238": {"StateDirectory=", "STATE_DIRECTORY"}, "239": {"CacheDirectory=", "CACHE_DIRECTORY"}, "240": {"LogsDirectory=", "LOGS_DIRECTORY"},
		"241": {"ConfigurationDirectory=", "CONFIGURATION_DIRECTORY"}, "242": {"NUMAPolicy=", "NUMA_POLICY"}, "243": {"LoadCredential=", "CREDENTIALS"},
	}
	f := failures[status]
	return f[0], f[1]
}

// exitText returns the words for an exit status.
func exitText(status string) string {
	exits := map[string]string{
		"2":  "it crashed and wrote its goroutine stacks to the log, ", // Go's runtime, on SIGABRT too
		"64": "the command line is wrong, ", "69": "the tailnet could not be reached, ",
		"77": "tailscaled needs a login or an approval, ", "78": "the configuration was refused, ",
	}
	switch setting, name := startFailure(status); {
	case status == "203":
		return "systemd could not run the program of ExecStart=, exit 203/EXEC"
	case setting != "":
		return "systemd could not apply " + setting + ", exit " + status + "/" + name
	}
	return exits[status] + "exit " + status
}
