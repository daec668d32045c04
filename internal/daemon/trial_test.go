package daemon

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// carrying is a request with the nonce in its query.
func carrying(nonce string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/v1/messages?doctor="+nonce, http.NoBody)
}

func TestATrialLivesAMinuteAndItsNonceIsKnownLonger(t *testing.T) {
	began := time.Now()
	for _, row := range []struct {
		name          string
		after         time.Duration
		known, answer bool
	}{
		{"at once", 0, true, true},
		{"in time", trialLife - time.Second, true, true},
		{"too late", trialLife, true, false},
		{"much too late", trialLife + trialMemory - time.Second, true, false},
		{"when nobody remembers", trialLife + trialMemory, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s trials
			nonce := rand.Text()
			if err := s.expect(Trial{Nonce: nonce}, began); err != nil {
				t.Fatal(err)
			}
			found, answer := s.arrive(carrying(nonce), began.Add(row.after))
			if (found != nil) != row.known || answer != row.answer {
				t.Errorf("known %v, to be answered %v; want %v, %v", found != nil, answer, row.known, row.answer)
			}
		})
	}
}

func TestATrialIsAnsweredOnceAndEachArrivalCounted(t *testing.T) {
	var s trials
	nonce, now := rand.Text(), time.Now()
	if err := s.expect(Trial{Nonce: nonce}, now); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, answer := s.arrive(carrying(nonce), now); answer != (i == 0) {
			t.Errorf("arrival %d: to be answered: %v", i+1, answer)
		}
	}
	if _, answer := s.arrive(carrying(rand.Text()), now); answer {
		t.Error("another nonce is answered")
	}
	if r, ok := s.reportOn(nonce); !ok || r.Arrivals != 3 {
		t.Errorf("the report counts %d arrivals", r.Arrivals)
	}
}

func TestWhichTrialsAreNotExpected(t *testing.T) {
	var s trials
	now := time.Now()
	for _, nonce := range []string{"", "short", "a b" + rand.Text(), "../" + rand.Text()} {
		if s.expect(Trial{Nonce: nonce}, now) == nil {
			t.Errorf("%q is expected", nonce)
		}
	}
	for range maxTrials {
		if err := s.expect(Trial{Nonce: rand.Text()}, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.expect(Trial{Nonce: rand.Text()}, now); !errors.Is(err, errTooManyTrials) {
		t.Errorf("one too many: %v", err)
	}
	if err := s.expect(Trial{Nonce: rand.Text()}, now.Add(trialLife+trialMemory)); err != nil {
		t.Errorf("when the others are forgotten: %v", err)
	}
}
