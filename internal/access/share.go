package access

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ShareCapability is the application capability whose values are shares.
const ShareCapability = "oauth-proxyd.internal/cap/share"

// Share is a person's part of the slots for requests. The zero value is the usual part.
type Share struct {
	Weight      int `json:"weight"`       // slots in one turn; 0: 1
	MaxRequests int `json:"max_requests"` // in flight, instead of max_connections_per_person; 0: no difference
}

// Turn returns how many slots the person gets in one turn.
func (s Share) Turn() int { return max(s.Weight, 1) }

// GreatestShare returns the greatest weight and limit among a peer's grants, which are JSON. fault
// says why a grant was ignored.
func GreatestShare[JSON ~string](grants []JSON) (greatest Share, fault string) {
	for _, grant := range grants {
		share, err := parseShare(string(grant))
		if err != nil {
			fault = err.Error()
			continue
		}
		greatest.Weight = max(greatest.Weight, share.Weight)
		greatest.MaxRequests = max(greatest.MaxRequests, share.MaxRequests)
	}
	return greatest, fault
}

// parseShare reads a grant. Missing fields have their defaults.
func parseShare(text string) (Share, error) {
	const maxWeight, maxRequests = 100, 1_000_000
	share := Share{Weight: 1}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&share); err != nil {
		return Share{}, fmt.Errorf(`not an object such as {"weight": 2, "max_requests": 20}: %w`, err)
	}
	switch {
	case share.Weight < 1 || share.Weight > maxWeight:
		return Share{}, fmt.Errorf("weight must be from 1 to %d", maxWeight)
	case share.MaxRequests < 0 || share.MaxRequests > maxRequests:
		return Share{}, fmt.Errorf("max_requests must be from 0 to %d", maxRequests)
	}
	return share, nil
}
