package bundle

import (
	_ "embed"
	"strings"
)

// programWords are the words of all texts of this program, one a line. TestWordsAreTheProgramsOwn
// makes the list.
//
//go:embed words.txt
var programWords string

// hostWords are those of systemd, the kernel, the Go libraries and the names of distributions.
const hostWords = `
aarch64 abnormal almalinux alpine amd64 amzn arch arm64 asleep assertion assignment attempting
auto-restart been booted bounds broken bus capacity centos child concurrent consumed conversion core
counter cpu deactivated dead deadline deadlock debian delete deny dependency dereference dial divide
down dumped enabled eof exceeded exec exec-condition executable executing exited fatal fedora frame
generic gogc gomemlimit goroutines head hit implicit incoming index infinity init integer ipv4 ipv6
iteration kill-mode killing len linux lookup makeslice malformed mb memory-peak min-time msg mutex
negative nil oauth-2025-04-20 oom opensuse operate operation overflow patch pc peak permission
pointer quickly read-only recovered reload-signal remain resource rhel rocky runtime scheduled
segmentation sigabrt sigkill signed sigsegv sigterm slice spawning start-limit-hit step stop-post
stop-sigterm strict successfully sync tcp4 tcp6 temporarily terminated termination ubuntu udp unable
unauthorized unavailable unlock unlocked unreachable utc verification verify violation waitgroup
writes x509 zero
/etc/systemd/system/oauth-proxyd.service.d/override.conf
/etc/systemd/system/oauth-proxyd.socket.d/override.conf /lib/systemd/system/oauth-proxyd.service
/lib/systemd/system/oauth-proxyd.socket /run/oauth-proxyd/admin.sock
/usr/lib/systemd/system/oauth-proxyd.service /usr/lib/systemd/system/oauth-proxyd.socket
/usr/sbin/oauth-proxyd /v1 /v1/ /v1/complete /v1/files /v1/messages /v1/messages/batches
/v1/messages/count_tokens /v1/models 2xx 3xx 4xx 5xx anthropic/go anthropic/java anthropic/kotlin
anthropic/python anthropic/ruby api.anthropic.com http/1.1 http/2 http/2.0 https_proxy linux/amd64
linux/arm64 no_proxy rst_stream ssl_cert_file tailscaled.service x86_64
`

func ownWords() map[string]bool {
	words := make(map[string]bool)
	for _, word := range append(strings.Fields(programWords), strings.Fields(hostWords)...) {
		words[word] = true
	}
	return words
}
