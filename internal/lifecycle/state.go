package lifecycle

// MaxRetries is how many times the daemon tries an unreachable tailnet again before it exits.
const MaxRetries = 5

// Exit codes of the daemon, after sysexits(3) where it has a name for them.
const (
	ExitOK          = 0  // EX_OK: stopped as requested
	ExitInternal    = 1  // a listener failed, or an internal error
	ExitUnavailable = 69 // EX_UNAVAILABLE: no tailnet, and no more retries
	ExitDrainCut    = 75 // EX_TEMPFAIL: requests in flight were cut short, and nothing else failed
	ExitNoPerm      = 77 // EX_NOPERM: tailscaled needs a login or an admin's approval
	ExitConfig      = 78 // EX_CONFIG: the configuration was refused
)

// Phase is a stage in the daemon's life.
type Phase int

// The phases, in the order of a daemon's life. Stopped must stay the last one.
const (
	Initializing      Phase = iota // loading the configuration
	ConnectingTailnet              // one attempt to reach the tailnet is under way
	Retrying                       // waiting to try the tailnet again
	Starting                       // opening the listeners
	Running                        // serving
	HandingOver                    // finishing requests, while the successor serves
	Draining                       // finishing requests, accepting none
	Stopped                        // final
)

// String returns the phase as users see it.
func (p Phase) String() string {
	return [...]string{
		"initializing", "connecting-tailnet", "error", "starting", "running", "handing-over", "draining", "stopped",
	}[p]
}

// Tailnet is what is known about the tailnet.
type Tailnet int

// What can be known about the tailnet.
const (
	TailnetUnknown  Tailnet = iota // not reported since it became required
	TailnetUp                      // connected
	TailnetDown                    // not connected
	TailnetDisabled                // not required by the configuration
)

// Change is a reload or an upgrade under way. There is one at a time.
type Change int

// The changes.
const (
	NoChange   Change = iota
	Reloading         // the configuration is being read again
	Upgrading         // a successor is being started
	Announcing        // systemd is being asked whether it supervises the successor
)

// State is everything that the next decision depends on. It is a comparable value that only [Step]
// changes. The zero value is the state at the start.
type State struct {
	// Phase is where the daemon is in its life.
	Phase Phase

	// Tailnet is Unknown until the first attempt to connect has ended, and from a reload that newly
	// requires a tailnet to the first report about it. It is Disabled if and only if the current
	// configuration does not require a tailnet. Otherwise it is the latest report.
	Tailnet Tailnet

	// Retries counts the retries since the start, 0 to MaxRetries. It never falls.
	Retries int

	// WaitWhenDown says to start without a tailnet that is down, instead of retrying and exiting.
	// It comes from the first configuration and has no effect after the start.
	WaitWhenDown bool

	// Change is the reload or upgrade under way. It is set only in Running.
	Change Change

	// ReloadPending and UpgradePending remember a request that waits for Running, or for the end of
	// Change. Neither is set after Running.
	ReloadPending, UpgradePending bool

	// ExitCode is the code to exit with, one of the Exit constants. In Draining it is ExitInternal
	// if a failed listener caused the drain. It is final in Stopped, and 0 in all other phases.
	ExitCode int
}

// TailnetRequired reports whether the current configuration requires a tailnet.
func (s State) TailnetRequired() bool { return s.Tailnet != TailnetDisabled }

// IsUpgrading reports whether a successor is being started and is not in charge yet.
func (s State) IsUpgrading() bool { return s.Change == Upgrading || s.Change == Announcing }
