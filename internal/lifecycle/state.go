package lifecycle

import "strconv"

// MaxRetries is how often an unreachable tailnet is tried again before the
// daemon gives up, when it was told not to wait.
const MaxRetries = 5

// Exit codes of the daemon, after sysexits(3) where it has a name for them.
const (
	ExitOK          = 0  // EX_OK: stopped as asked
	ExitInternal    = 1  // a listener could not be used, or a fault of our own
	ExitUnavailable = 69 // EX_UNAVAILABLE: no tailnet, and no more retries
	ExitDrainCut    = 75 // EX_TEMPFAIL: requests in flight were cut short, and nothing else failed
	ExitNoPerm      = 77 // EX_NOPERM: the tailnet wants a login or an admin's approval
	ExitConfig      = 78 // EX_CONFIG: the configuration was refused
)

// Phase is where the daemon is in its life.
type Phase int

// The phases, in the order of a life. Stopped stays the last.
const (
	Initializing      Phase = iota // loading the configuration
	ConnectingTailnet              // one attempt to reach the tailnet is under way
	Error                          // waiting to try the tailnet again
	Starting                       // opening the listeners
	Running                        // serving
	HandingOver                    // finishing what is in flight, while another process serves
	Draining                       // finishing what is in flight, taking nothing new
	Stopped                        // final
)

// String returns the phase as users see it: lower case, words joined by "-".
func (p Phase) String() string {
	switch p {
	case Initializing:
		return "initializing"
	case ConnectingTailnet:
		return "connecting-tailnet"
	case Error:
		return "error"
	case Starting:
		return "starting"
	case Running:
		return "running"
	case HandingOver:
		return "handing-over"
	case Draining:
		return "draining"
	case Stopped:
		return "stopped"
	}
	return "phase(" + strconv.Itoa(int(p)) + ")"
}

// Tailnet is what is known about the tailnet.
type Tailnet int

// What can be known about the tailnet.
const (
	TailnetUnknown  Tailnet = iota // nothing was reported since it became required
	TailnetUp                      // connected
	TailnetDown                    // not connected
	TailnetDisabled                // not required by the configuration
)

// String returns "unknown", "up", "down" or "disabled".
func (t Tailnet) String() string {
	switch t {
	case TailnetUnknown:
		return "unknown"
	case TailnetUp:
		return "up"
	case TailnetDown:
		return "down"
	case TailnetDisabled:
		return "disabled"
	}
	return "tailnet(" + strconv.Itoa(int(t)) + ")"
}

// State is everything that the next decision depends on. It is a comparable
// value; only [Step] makes a new one. Its zero value is the one [New] returns.
type State struct {
	// Phase is where the daemon is in its life.
	Phase Phase

	// Tailnet is Unknown until the first attempt to connect has ended, and again
	// from a reload that newly requires a tailnet to the first report about it;
	// Disabled exactly if the configuration in force does not require one; and
	// the latest known fact otherwise.
	Tailnet Tailnet

	// Retries counts the retries scheduled since the start, 0 to MaxRetries. It
	// never falls.
	Retries int

	// Required says that the configuration in force requires a tailnet. A reload
	// may change it.
	Required bool

	// WaitWhenDown says to serve without a tailnet that is down and wait for
	// it, instead of retrying and leaving. Only set together with Required. A
	// reload may change it, but it decides nothing once the daemon is Running.
	WaitWhenDown bool

	// Reloading says that a reload is under way. Only set in Running.
	Reloading bool

	// ReloadPending remembers a reload that must wait its turn: for Running, or
	// for the end of the reload or the upgrade under way. In Running it is set
	// only together with Reloading or Upgrading; in HandingOver, Draining and
	// Stopped never.
	ReloadPending bool

	// Upgrading says that a successor is being started, which is not in charge yet.
	// Only set in Running, and not together with Reloading.
	Upgrading bool

	// Announced says that systemd was told of the successor, and is being asked whether
	// it follows. Only set together with Upgrading.
	Announced bool

	// UpgradePending remembers an upgrade that must wait for the end of the
	// reload under way. Only set together with Reloading.
	UpgradePending bool

	// ExitCode is the code to leave with, one of the Exit constants. In Draining
	// it is ExitInternal if a failed listener began the drain, and stays so; it
	// is final in Stopped, and 0 in every other phase.
	ExitCode int
}

// New returns the state in which every life begins.
func New() State { return State{} }
