package lifecycle

// MaxRetries is how often an unreachable tailnet is tried again before the daemon gives up.
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
	return [...]string{
		"initializing", "connecting-tailnet", "error", "starting", "running", "handing-over", "draining", "stopped",
	}[p]
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

// Change is what is under way beside serving, one at a time.
type Change int

// The changes.
const (
	NoChange   Change = iota
	Reloading         // the configuration is being read again
	Upgrading         // a successor is being started
	Announcing        // systemd was notified of the successor, and is asked whether it follows
)

// State is everything that the next decision depends on. It is a comparable value, and only [Step]
// makes a new one. The zero value is where every life begins.
type State struct {
	// Phase is where the daemon is in its life.
	Phase Phase

	// Tailnet is Unknown before the first attempt to connect has ended, and from a reload that
	// newly requires a tailnet to the first report about it; Disabled if and only if the
	// configuration in force does not require one; and else the latest fact.
	Tailnet Tailnet

	// Retries counts the retries scheduled since the start, 0 to MaxRetries. It never falls.
	Retries int

	// WaitWhenDown says to start without a tailnet that is down, instead of retrying and leaving.
	// It is what the first configuration says, and decides nothing after the start.
	WaitWhenDown bool

	// Change is what is under way beside serving. Only set in Running.
	Change Change

	// ReloadPending and UpgradePending remember a request that must wait for Running, or for the
	// end of the Change under way. After Running neither is set.
	ReloadPending, UpgradePending bool

	// ExitCode is the code to leave with, one of the Exit constants. In Draining it is ExitInternal
	// if a failed listener began the drain, and stays so; it is final in Stopped, and 0 in every
	// other phase.
	ExitCode int
}

// TailnetRequired reports whether the configuration in force requires a tailnet.
func (s State) TailnetRequired() bool { return s.Tailnet != TailnetDisabled }

// IsUpgrading reports whether there is a successor that is not in charge yet.
func (s State) IsUpgrading() bool { return s.Change == Upgrading || s.Change == Announcing }
