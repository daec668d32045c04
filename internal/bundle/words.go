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
a abnormal active after alive already and arm64 aarch64 amd64 as assertion at attempting auto-restart bad broken by
certificate child closed code command condition connection consumed control could counter core cpu day deactivated
deactivating dead debian deadline dependency dumped deny enabled eof error exceeded exec exec-condition executing
exited exit-code expired failed fatal fedora file finished for found from generic group handshake has hit host hosts
i/o implicit inactive in incoming invalid io is issued its itself job kill killed kill-mode killing limit linux
listen listening loaded lookup main masked mb memory memory-peak min-time name network no node not of on oom oom-kill
open operation or out over peak permission pipe port process protocol quickly reached read reason refused reload
reloaded reloading reload-signal remain remote request required reset resource restart restarting result rocky route
running s scheduled sending service sigabrt sigkill sigterm signal signed skipped socket space standard start
started starting start-limit-hit state status stop stop-sigterm stopped stopping stop-post success successfully such
systemd tcp tcp4 tcp6 temporarily temporary termination terminated the time timed timeout tls to too tried ubuntu udp
unable unavailable unauthorized unexpected unit unknown unreachable user valid verification verify was watchdog
broken malformed transport dial spawning step utc reset peer idle stream goaway rst_stream frame
with without linux/amd64 linux/arm64 x509 x86_64 almalinux alpine amzn arch centos opensuse rhel
get head post put patch delete options trace connect 2xx 3xx 4xx 5xx http/1.1 http/2 http/2.0 ipv4 ipv6
/v1 /v1/ /v1/messages /v1/messages/batches /v1/messages/count_tokens /v1/models /v1/complete /v1/files
claude-cli anthropic/js anthropic/python anthropic/go anthropic/java anthropic/kotlin anthropic/ruby
oauth-2025-04-20 api.anthropic.com oauth-proxyd.service oauth-proxyd.socket tailscaled.service
/etc/oauth-proxyd/oauth-proxyd.hcl /run/oauth-proxyd/admin.sock /usr/sbin/oauth-proxyd
/usr/lib/systemd/system/oauth-proxyd.service /usr/lib/systemd/system/oauth-proxyd.socket
/lib/systemd/system/oauth-proxyd.service /lib/systemd/system/oauth-proxyd.socket
/etc/systemd/system/oauth-proxyd.service.d/override.conf /etc/systemd/system/oauth-proxyd.socket.d/override.conf
gogc gomemlimit oauth_proxyd_socket_unit oauth_proxyd_config oauth_proxyd_log_level oauth_proxyd_log_format
http_proxy https_proxy no_proxy tailscale_socket ssl_cert_file read-only full strict infinity private
`

// ownWords returns all words that pass.
func ownWords() map[string]bool {
	words := make(map[string]bool)
	for _, word := range append(strings.Fields(programWords), strings.Fields(hostWords)...) {
		words[word] = true
	}
	return words
}
