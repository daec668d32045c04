package gateway_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// The account of the only person whom the identity provider knows.
const (
	personID    = "lab-subject-7"
	personEmail = "ada@example.com"
)

// The gateway's own account at the identity provider.
const (
	clientID     = "lab-gateway"
	clientSecret = "made-up-client-secret"
)

// identityProvider is an OpenID Connect provider with as much as the gateway uses: discovery, keys,
// and the authorization code flow. Everybody who comes is the same person, who is already logged
// in.
type identityProvider struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	nonces map[string]string // by code
}

func startIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{key: key, nonces: make(map[string]string)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *identityProvider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer":                                p.URL,
		"authorization_endpoint":                p.URL + "/authorize",
		"token_endpoint":                        p.URL + "/token",
		"jwks_uri":                              p.URL + "/keys",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

// keys is the public key as a JWK set (RFC 7517).
func (p *identityProvider) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "lab",
		"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

// authorize sends the browser back with a code, without a login page.
func (p *identityProvider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	back, err := url.Parse(query.Get("redirect_uri"))
	if err != nil || query.Get("client_id") != clientID {
		http.Error(w, "not the gateway's request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.nonces[code] = query.Get("nonce")
	p.mu.Unlock()
	back.RawQuery = url.Values{"code": {code}, "state": {query.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token exchanges a code for an ID token, once.
func (p *identityProvider) token(w http.ResponseWriter, r *http.Request) {
	if !authenticated(r) {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	code := r.PostFormValue("code")
	p.mu.Lock()
	nonce, known := p.nonces[code]
	delete(p.nonces, code)
	p.mu.Unlock()
	if !known {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	writeJSON(w, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 3600, "id_token": p.idToken(nonce),
	})
}

// authenticated accepts both ways of RFC 6749 §2.3.1 to send a client's secret.
func authenticated(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id == clientID && secret == clientSecret
}

// idToken says who the person is, as a JWT signed with RS256.
func (p *identityProvider) idToken(nonce string) string {
	now := time.Now()
	claims := map[string]any{
		"iss": p.URL, "aud": clientID, "sub": personID,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": personEmail, "email_verified": true,
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	signed := segment(map[string]string{"alg": "RS256", "typ": "JWT", "kid": "lab"}) + "." + segment(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err) // the key is long enough for the digest
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// segment is one part of a JWT.
func segment(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // a fake server has nobody to tell
}
