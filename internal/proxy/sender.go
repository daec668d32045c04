package proxy

import (
	"cmp"
	"strconv"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/ratelimit"
)

// An [access.Identity] becomes a name for each purpose. Only the first is never shown, so
// log.identity does not withhold it:
//
//	name                              for                            example
//	ticket.person, from Identity.Key  slots, cancellations, denials  user alice@example.com
//	Trace's fields, from Redacted     the log, requests, explain     User alice@example.com,
//	                                                                 Node build-1.example.ts.net
//	Trace.Who                         status: who waits              alice@example.com
//	record.limitUser                  package ratelimit              the same, and the session
//	Trace.shortWho                    the message of a log line      alice@build-1

// identify records who sent the request: for the queue, and as the log names them. An address is
// shown if it is the only name; it identifies a node as a name does.
func (x *exchange) identify(id access.Identity) {
	from, address := x.conn.Sender.Addr(), ""
	x.ticket = ticket{person: id.Key(from), session: x.rec.Session, share: id.Share}
	if id.Source == access.Other && from.IsValid() {
		address = from.String()
		if x.cfg.LogIdentity != nil {
			address = x.cfg.LogIdentity(address)
		}
	}
	id = id.Redacted(x.cfg.LogIdentity)
	x.rec.change(func(t *Trace) {
		t.Source, t.Node, t.User, t.Tags, t.Address = id.Source, id.Node, id.User, id.Tags, address
		t.Person, t.PersonDoubt = id.Person, id.Doubt
	})
}

// Who returns the sender by the first name that is known, in the order of [access.Identity.Key], or
// else the source.
func (t Trace) Who() string {
	return cmp.Or(t.Person, t.User, t.Node, strings.Join(t.Tags, ","), t.Address, string(t.Source))
}

// limitUser returns who uses a rate limit. Among the senders without a name, only this host counts
// as one user.
func (r *record) limitUser() (user ratelimit.User) {
	r.change(func(t *Trace) {
		user.Session = t.Session
		if who := t.Who(); who != string(t.Source) || t.Source == config.Local {
			user.Person = kept(strings.ToLower(who), keptName)
		}
	})
	return user
}

// shortWho returns a short name of the sender, or else the address or the source. A name with
// blanks is quoted: it must not look like fields of the line.
func (t Trace) shortWho() string {
	user, _, _ := strings.Cut(cmp.Or(t.Person, t.User, strings.Join(t.Tags, ",")), "@")
	node, _, _ := strings.Cut(t.Node, ".")
	if user != "" && node != "" {
		user += "@"
	}
	name := cmp.Or(user+node, t.Address, string(t.Source))
	if strings.ContainsAny(name, " =") {
		return strconv.Quote(name)
	}
	return name
}

// ForgetSenders removes the names of senders from all that is remembered of requests, and forgets
// who used rate limits. It is called when a reload starts to withhold names.
func (p *Proxy) ForgetSenders() {
	open, records := p.flights.list()
	for _, x := range open {
		records = append(records, x.rec)
	}
	for _, r := range records {
		r.change(func(t *Trace) { t.Node, t.User, t.Tags, t.Address, t.Person = "", "", nil, "", "" })
	}
	p.limits.Forget()
}
