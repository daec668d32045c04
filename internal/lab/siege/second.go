package siege

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// SecondOpinion are the attacks of slowhttptest, refused and admitted.
func SecondOpinion(program string) []Attack {
	modes := []struct {
		name string
		args []string
	}{
		{"slowloris", []string{"-H", "-i", "1"}},
		{"slow body", []string{"-B", "-i", "1", "-s", "1000000"}},
		{"slow read", []string{"-X", "-n", "1", "-w", "1", "-y", "512", "-z", "5", "-k", "3"}},
		{"range", []string{"-R", "-a", "5", "-b", "2000"}},
	}
	var attacks []Attack
	for _, who := range []Who{Refused, Admitted} {
		for _, m := range modes {
			attacks = append(attacks, Attack{
				Name: "slowhttptest: " + m.name, Who: who, Quiet: true,
				// Without end, slow bodies hold as many slots as there are connections.
				Fills: who == Admitted,
				Run:   func(a *Assault) error { return a.slowhttptest(program, m.args) },
			})
		}
	}
	return attacks
}

// slowhttptest runs the program for as long as the lab holds an attack. It connects from 127.0.0.1,
// as it cannot be told otherwise.
func (a *Assault) slowhttptest(program string, mode []string) error {
	args := append([]string{
		"-c", "2000", "-r", "500", "-p", "3", "-v", "1",
		"-l", strconv.Itoa(max(int(a.timing.Hold.Seconds()), 1)), "-u", "http://" + a.address + pathMessage,
	}, mode...)
	out, err := exec.CommandContext(a, program, args...).CombinedOutput()
	if err != nil && a.Err() == nil {
		return fmt.Errorf("%s: %w: %.500s", program, err, out)
	}
	a.note = "slowhttptest: " + available(out)
	return nil
}

// available is what the program says last about the service, between codes for colours.
func available(out []byte) string {
	found := regexp.MustCompile(`service available:[^\n]*?(YES|NO)`).FindAllSubmatch(out, -1)
	if len(found) == 0 {
		return "no verdict"
	}
	if bytes.Equal(found[len(found)-1][1], []byte("YES")) {
		return "available to the last"
	}
	return "not available"
}
