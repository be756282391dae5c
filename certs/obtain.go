package certs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"time"

	"homemail/words"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// backOff is how long to leave a name alone after its n-th failed order. The
// five orders of a week then last for days, as whatever is wrong may.
var backOff = [...]time.Duration{time.Hour, 5 * time.Hour, 18 * time.Hour, 2 * 24 * time.Hour}

// obtain makes an order and sees what came of it.
func (k *keeper) obtain(ctx context.Context, e *entry, way string, cache *certmagic.Cache) view {
	k.mu.Lock()
	e.doing, e.trouble = Ordering, Text{} // what was in the way is not any more
	k.mu.Unlock()
	before := k.limits.count(e.name)
	err := k.order(ctx, e, way, cache)
	if err == nil {
		old := e.cert
		if k.load(e); e.cert == old || !e.current {
			err = words.Because(nil, "certs.unusable")
		}
	}
	if err == nil {
		e.fails, e.failed, e.notYet, e.why = 0, map[string]int{}, time.Time{}, Text{}
		e.ari, e.askARI, e.since = acme.RenewalInfo{}, time.Time{}, time.Now()
		return view{Resting, Text{}, 0}
	}
	if ctx.Err() != nil {
		return view{Resting, e.why, lookNames}
	}
	now := time.Now()
	v := view{Failed, k.explain(err, e.name, way), e.pause(now)}
	if k.limits.count(e.name) > before {
		e.failed[way]++
		e.notYet = now.Add(backOff[min(e.fails, len(backOff)-1)])
		e.fails++
		if until := retryAfter(err, now); until.After(e.notYet) {
			e.notYet = until
		}
		v.again = min(time.Until(e.notYet), lookLeast)
	}
	if v.trouble != e.why {
		e.why = v.trouble
		k.log.Warn("no certificate", "name", e.name, "challenge", way, "why", v.trouble.EN, "next", now.Add(v.again), "err", err)
	}
	return v
}

// order has certmagic make one order. Its key is stored before.
func (k *keeper) order(ctx context.Context, e *entry, way string, cache *certmagic.Cache) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	if err := k.keepKey(ctx, e); err != nil {
		return err
	}
	a := &attempt{keeper: k, name: e.name, way: way}
	if e.cert != nil && e.current {
		a.replaces = e.cert.Leaf
	}
	magic := certmagic.New(cache, certmagic.Config{
		Storage: k.storage, Issuers: []certmagic.Issuer{k.issue(a)}, KeySource: keySource, Logger: zap.NewNop(),
		ReusePrivateKeys:    true, // so that TLSA records "3 1 1" stay right, RFC 7671 §5.1
		DisableARI:          true, // as it would ask when we do not; see refresh
		DisableStorageCheck: true, // the store checks itself
	})
	if e.cert != nil && e.current {
		if err := k.mend(ctx, e.name); err != nil {
			return err
		}
		return magic.RenewCertSync(ctx, e.name, true)
	}
	// What is stored but cannot be used would keep certmagic from asking.
	for _, p := range []string{certmagic.StorageKeys.SiteMeta(k.ca, e.name), certmagic.StorageKeys.SiteCert(k.ca, e.name)} {
		if err := k.storage.Delete(ctx, p); err != nil {
			return err
		}
	}
	return magic.ObtainCertSync(ctx, e.name)
}

// keepKey stores the key of a name before there is an order for it. A key that
// another CA has signed is used on.
func (k *keeper) keepKey(ctx context.Context, e *entry) error {
	path := certmagic.StorageKeys.SitePrivateKey(k.ca, e.name)
	if e.cert != nil && !e.current && !k.storage.Exists(ctx, path) {
		v, err := certmagic.PEMEncodePrivateKey(e.cert.PrivateKey)
		if err != nil {
			return err
		}
		return k.storage.Store(ctx, path, v)
	}
	_, _, err := k.key(ctx, path)
	return err
}

// mend replaces what certmagic keeps beside a certificate if it cannot be read:
// it would not renew, and uses nothing of it.
func (k *keeper) mend(ctx context.Context, name string) error {
	path := certmagic.StorageKeys.SiteMeta(k.ca, name)
	if v, err := k.storage.Load(ctx, path); err == nil && json.Valid(v) {
		return nil
	}
	v, err := json.Marshal(certmagic.CertificateResource{SANs: []string{name}})
	if err != nil {
		return err
	}
	return k.storage.Store(ctx, path, v)
}

const (
	ariEvery = 6 * time.Hour  // if the CA does not say how often, RFC 9773 §4.3
	ariLeast = time.Hour      // whatever it says
	ariMost  = 24 * time.Hour // likewise
)

// refresh asks the CA when it would have us renew, RFC 9773 §4.
func (k *keeper) refresh(ctx context.Context, e *entry) {
	if time.Now().Before(e.askARI) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	ari, err := k.client().GetRenewalInfo(ctx, e.cert.Leaf)
	e.askARI = time.Now().Add(ariEvery)
	if err != nil {
		k.log.Debug("the CA does not say when to renew", "name", e.name, "err", err)
		return
	}
	if ari.RetryAfter != nil {
		e.askARI = time.Now().Add(min(max(time.Until(*ari.RetryAfter), ariLeast), ariMost))
	}
	if !ari.SameWindow(e.ari) {
		e.ari = ari
	}
}

func (k *keeper) untilARI(e *entry) time.Duration { return max(time.Until(e.askARI), time.Second) }

// renewAt is when a certificate is to be renewed: when the CA says, if that is
// in good time, else after two thirds of its life.
func (e *entry) renewAt() time.Time {
	leaf := e.cert.Leaf
	at := leaf.NotAfter.Add(-life(leaf) / 3)
	if e.ari.HasWindow() {
		at = e.ari.SelectedTime
		if latest := leaf.NotAfter.Add(-life(leaf) / 10); at.After(latest) {
			at = latest
		}
	}
	return at
}

func life(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) }
