package daemon

import "runtime"

// headroom is how many bytes of garbage may lie about whatever little is alive. The
// garbage of short requests would else be collected a hundred times a second under
// load: the collector waits for as much new memory as is alive, and that is little.
const headroom = 6 << 20

// keepHeadroom has the collector take that much for alive until the end. It is never
// written to, so it takes no memory.
func keepHeadroom() (end func()) {
	untouched := make([]byte, headroom)
	return func() { runtime.KeepAlive(untouched) }
}
