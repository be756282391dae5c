package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"homemail/store"
)

const (
	attemptTime = 10 * time.Minute // for all of an order; DNS-01 may wait 2 of them for its record
	requestTime = 30 * time.Second // for one request to the CA
	maxAnswer   = 1 << 20          // bytes of an answer of the CA; a chain has some 10 KB
)

// An attempt is one order of one certificate. It is certmagic's issuer: that
// makes the request, keeps the key and stores what comes of it.
type attempt struct {
	*keeper
	name     string
	way      string            // the one kind of challenge it may be answered by: another would need another order
	replaces *x509.Certificate // RFC 9773 §5; nil if there is none of this CA
}

// IssuerKey names the CA in paths of the storage.
func (a *attempt) IssuerKey() string { return a.ca }

// Issue orders a certificate.
func (a *attempt) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := a.reach(ctx); err != nil {
		return nil, err
	}
	solver, err := a.solver(a.way, a.name)
	if err != nil {
		return nil, err
	}
	client := a.client()
	client.ChallengeSolvers = map[string]acmez.Solver{a.way: solver}
	account, err := a.account(ctx, client.Client)
	if err != nil {
		return nil, fmt.Errorf("ACME account: %w", err)
	}
	if err := a.limits.take(a.name); err != nil {
		return nil, err
	}
	chains, err := a.order(ctx, client, account, csr)
	if is(err, acme.ProblemTypeAccountDoesNotExist) { // the CA has lost it, and made no order
		if account, err = a.register(ctx, client.Client); err != nil {
			return nil, fmt.Errorf("ACME account: %w", err)
		}
		chains, err = a.order(ctx, client, account, csr)
	}
	if a.replaces != nil && noOrder(err) {
		a.replaces = nil
		chains, err = a.order(ctx, client, account, csr)
	}
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the CA has sent no certificate")
	}
	return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
}

func (a *attempt) order(ctx context.Context, client *acmez.Client, account acme.Account, csr *x509.CertificateRequest) ([]acme.Certificate, error) {
	p, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	p.Profile, p.Replaces = a.o.Profile, a.replaces
	return client.ObtainCertificate(ctx, p)
}

// noOrder reports whether a CA made no order because of something that it did not
// understand or that broke in it. To say which certificate is replaced is a favour
// to the CA (RFC 9773 §5), and not worth a certificate.
func noOrder(err error) bool {
	var p acme.Problem
	return errors.As(err, &p) && strings.HasPrefix(err.Error(), "creating new order:") &&
		(p.Status >= 500 || p.Type == acme.ProblemTypeMalformed || p.Type == acme.ProblemTypeServerInternal || p.Type == acme.ProblemTypeAlreadyReplaced)
}

// errAway is a CA that cannot be reached, or is out of order.
var errAway = errors.New("the CA does not answer")

// reach looks whether the CA answers, so that no order is counted if it does
// not. The library has its directory from an earlier time, maybe.
func (k *keeper) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.o.Directory, nil)
	if err != nil {
		return err
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s: %s", errAway, k.o.Directory, resp.Status)
	}
	return nil
}

func (k *keeper) client() *acmez.Client {
	return &acmez.Client{Client: &acme.Client{Directory: k.o.Directory, HTTPClient: k.http, UserAgent: "homemail", PollTimeout: attemptTime}}
}

func newHTTPClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Timeout: requestTime, Transport: bounded{&http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: requestTime,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   true,
	}}}
}

// bounded is a transport whose answers end, as the library reads all of them.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// The account's paths in the storage. Its key is there before the CA hears of
// it: after a crash the CA knows it again, RFC 8555 §7.3.1.
func (k *keeper) accountPath(ext string) string { return path.Join("acme", k.ca, "account."+ext) }

// account returns our account at the CA, after making one if need be.
func (k *keeper) account(ctx context.Context, client *acme.Client) (acme.Account, error) {
	k.registering.Lock()
	defer k.registering.Unlock()
	key, made, err := k.key(ctx, k.accountPath("key"))
	if err != nil {
		return acme.Account{}, err
	}
	a, err := k.storedAccount(ctx)
	if made || errors.Is(err, fs.ErrNotExist) {
		return k.registerLocked(ctx, client)
	}
	a.PrivateKey = key
	return a, err
}

func (k *keeper) storedAccount(ctx context.Context) (a acme.Account, err error) {
	v, err := k.storage.Load(ctx, k.accountPath("json"))
	if err != nil {
		return a, err
	}
	if json.Unmarshal(v, &a) != nil || a.Status != acme.StatusValid || a.Location == "" {
		return a, fmt.Errorf("the stored account cannot be used: %w", fs.ErrNotExist) // asking the CA again does no harm
	}
	return a, nil
}

func (k *keeper) register(ctx context.Context, client *acme.Client) (acme.Account, error) {
	k.registering.Lock()
	defer k.registering.Unlock()
	return k.registerLocked(ctx, client)
}

func (k *keeper) registerLocked(ctx context.Context, client *acme.Client) (a acme.Account, err error) {
	if a.PrivateKey, _, err = k.key(ctx, k.accountPath("key")); err != nil {
		return a, err
	}
	if to := k.email(); to != "" {
		a.Contact = []string{"mailto:" + to}
	}
	a.TermsOfServiceAgreed = true // Allowed says so
	if a, err = client.NewAccount(ctx, a); err != nil {
		return a, err
	}
	v, err := json.Marshal(a) // without the key
	if err != nil {
		return a, err
	}
	k.log.Info("ACME account registered", "ca", k.o.Directory, "account", a.Location)
	return a, k.storage.Store(ctx, k.accountPath("json"), v)
}

// key returns the private key at a path of the storage, after making one if
// there is none, or none that can be read: a backup may lack what opens it.
func (k *keeper) key(ctx context.Context, path string) (key crypto.Signer, made bool, err error) {
	v, err := k.storage.Load(ctx, path)
	if err == nil {
		if key, err = certmagic.PEMDecodePrivateKey(v); err == nil {
			return key, false, nil
		}
		err = fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	switch {
	case errors.Is(err, store.ErrCorrupt):
		k.log.Warn("a stored private key cannot be used; a new one is made", "path", path, "err", err)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	}
	fresh, err := keySource.GenerateKey()
	if err != nil {
		return nil, false, err
	}
	if v, err = certmagic.PEMEncodePrivateKey(fresh); err != nil {
		return nil, false, err
	}
	return fresh.(crypto.Signer), true, k.storage.Store(ctx, path, v)
}

var keySource = certmagic.StandardKeyGenerator{KeyType: certmagic.P256}

// is tells whether an error is, or contains, an ACME problem of a type.
func is(err error, problem string) bool {
	var p acme.Problem
	if !errors.As(err, &p) {
		return false
	}
	if p.Type == problem {
		return true
	}
	for _, sub := range p.Subproblems { // RFC 8555 §6.7.1
		if sub.Type == problem {
			return true
		}
	}
	return false
}
