package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// farewell is the word that a process leaves for the one that is started in its
// place. What it cut at its very end, nobody could ask it any more.
type farewell struct {
	Version  string `json:"version"`
	Cut      uint64 `json:"cut"`       // streams, at the end of that process's drain
	CutTotal uint64 `json:"cut_total"` // likewise, of all processes so far
}

// farewellVariable brings it to a process that takes over while the other lives.
const farewellVariable = "OAUTH_PROXYD_FAREWELL"

// FarewellFile is in the RuntimeDirectory= of the unit, which systemd keeps over a
// restart and removes at a stop (RuntimeDirectoryPreserve=restart, systemd.exec(5)).
// A daemon that no unit starts replaces nobody and has none.
func FarewellFile() string {
	dir := os.Getenv("RUNTIME_DIRECTORY")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "farewell.json")
}

// readFarewell is empty where no word was left, or none that can be read: a process
// that is killed leaves none.
func readFarewell(file string) farewell {
	text := []byte(os.Getenv(farewellVariable))
	_ = os.Unsetenv(farewellVariable) // cannot fail on Linux
	if len(text) == 0 {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return farewell{}
		}
	}
	var f farewell
	if json.Unmarshal(text, &f) != nil {
		return farewell{}
	}
	return f
}

// reportFarewell says what the change from the process before to this one cost. An
// administrator who upgrades looks here. The word is for one reader: should this
// process be killed, the next must not take it for this one's.
func (d *daemon) reportFarewell() {
	_ = os.Remove(d.options.Farewell)
	before, now := d.before.Version, d.options.Version
	cost := countStreams(d.before.Cut) + " cut"
	log := d.log.Info
	if d.before.Cut > 0 {
		log = d.log.Warn
	}
	switch {
	case before == "":
	case before != now:
		log(fmt.Sprintf("upgraded: %s → %s, %s", before, now, cost), "before", before, "streams_cut", d.before.Cut)
	case d.before.Cut > 0:
		log("restarted: "+cost, "streams_cut", d.before.Cut)
	}
}

func countStreams(n uint64) string {
	switch n {
	case 0:
		return "no stream"
	case 1:
		return "1 stream"
	}
	return fmt.Sprintf("%d streams", n)
}

// streamsCut are those that this process's own drain cut.
func (d *daemon) streamsCut() uint64 {
	if d.proxy == nil { // it never served
		return 0
	}
	return d.proxy.Stats().CutByDrain - d.before.CutTotal
}

// sayFarewell leaves word, also where nothing was cut. A process that never served
// leaves that of the one before it, one that has handed over has left it already.
func (d *daemon) sayFarewell() {
	if d.options.Farewell == "" || !d.owner {
		return
	}
	text, err := d.farewell()
	if err == nil {
		err = os.WriteFile(d.options.Farewell, text, 0o640) //nolint:gosec // the group may command, too
	}
	if err != nil {
		d.log.Warn("no word is left for the next process", "error", err)
	}
}

// farewell is this process's word as of now.
func (d *daemon) farewell() ([]byte, error) {
	cut := d.streamsCut()
	return json.Marshal(farewell{Version: d.options.Version, Cut: cut, CutTotal: d.before.CutTotal + cut})
}
