package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/inbound"
)

// hopForm is what of a request belongs to its last hop. The requests that one program on one
// machine sends in the same way have the same form.
type hopForm struct {
	remote    netip.Addr // of the sender; invalid for a Unix socket
	host      string
	version   int    // minor, of HTTP/1
	forwarded string // the names of the fields by which proxies say for whom they speak
	order     inbound.FieldOrder
}

func formOf(r *http.Request, c *inbound.Conn) hopForm {
	return hopForm{
		remote: c.Access.Addr(), host: r.Host, version: r.ProtoMinor, forwarded: forwardingNames(r.Header), order: c.Order,
	}
}

func forwardingNames(h http.Header) string {
	if !access.SpeaksForAnother(h) {
		return ""
	}
	var names []string
	for name := range h {
		if access.NamesOrigin(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// rewritten reports whether another program wrote the request than the one that wrote f, though it
// says the same. sentTo is the Host that f's request was sent on with: where a proxy keeps the
// Host, the request comes back with it.
func (f *hopForm) rewritten(again *hopForm, sentTo string) bool {
	return f.version != again.version || f.forwarded != again.forwarded ||
		f.host != sentTo && again.host == sentTo ||
		f.order.Differs(&again.order)
}

// forwardedFor are the addresses for which proxies say that they have sent a request on.
func forwardedFor(h http.Header) []netip.Addr {
	var all []netip.Addr
	for _, name := range [...]string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
		for _, line := range h[name] {
			for element := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ';' }) {
				if addr, ok := forwardedAddr(element); ok {
					all = append(all, addr)
				}
			}
		}
	}
	return all
}

// forwardedAddr reads one address: alone, with a port, or as RFC 7239 §4 spells it.
func forwardedAddr(element string) (netip.Addr, bool) {
	element = strings.TrimSpace(element)
	if len(element) > len("for=") && strings.EqualFold(element[:len("for=")], "for=") {
		element = element[len("for="):]
	}
	element = strings.Trim(element, `"`)
	if ap, err := netip.ParseAddrPort(element); err == nil {
		return access.Plain(ap).Addr(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(element, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
