package proxy

import "time"

// identityLife is how long it holds for a connection where it comes from, found or not.
const identityLife = time.Minute

// proxiedLife is longer than any connection lasts.
const proxiedLife = 365 * 24 * time.Hour

// identityCache holds where a connection comes from, as it was proved. A connection has one
// request at a time, so that nothing guards it.
type identityCache struct {
	id    Identity
	until time.Time // when id no longer holds
}

// get proves it with ask unless it was proved lately. An error is not kept.
func (k *identityCache) get(ask func() (Identity, error)) (Identity, error) {
	if time.Now().Before(k.until) {
		return k.id, nil
	}
	id, err := ask()
	if err != nil {
		return Identity{}, err
	}
	k.id, k.until = id, time.Now().Add(identityLife)
	if id.Source == SourceProxied { // also when the forward that it came through is gone
		k.until = time.Now().Add(proxiedLife)
	}
	return id, nil
}
