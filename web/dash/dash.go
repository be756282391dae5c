// Package dash is the owner's pages: how the house is, its people and
// addresses, its domains, where a message is, what waits, the line, and the
// settings. Whatever they show or change is an operation of package admin; they
// keep nothing themselves but what is under way.
package dash

import (
	"context"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/web/dash/logring"
	"homemail/web/page"
)

//go:embed pages
var files embed.FS

// Source is what the package brings for a page.Set: its templates and words.
func Source() fs.FS { return page.Files(files) }

// A House does what an owner asks for. *admin.House is one.
type House interface {
	Do(ctx context.Context, operation string, request json.RawMessage) (any, error)
	Overview(ctx context.Context) (admin.Overview, error)
}

// Options say what the pages are of. House and Set have to be there.
type Options struct {
	House House
	Set   *page.Set // whose sources have Source among them

	// Require lets only owners through. Fresh lets only owners through who have
	// just said who they are; it stands before what gives access away: passwords,
	// owners, the way to the DNS. Nil lets everybody.
	Require, Fresh func(http.Handler) http.Handler

	// Who is signed in, by address; nil for nobody.
	Who     func(*http.Request) string
	SignOut string // where a POST ends the session
	Mine    string // the page of who is signed in; "" for none

	// Server says what mail programs have to know for a domain. Nil makes no
	// profiles for phones.
	Server func(domain string) autoconfig.Server
	// Sign signs a profile for Apple's devices; nil leaves it unsigned.
	Sign func(profile []byte) ([]byte, error)

	Router func() (Router, bool) // that the house is behind; nil for none known
	Lines  *logring.Ring         // of the log; nil for none

	// Upload installs the file of an update; nil takes none.
	Upload func(ctx context.Context, file io.Reader) error

	Notice func(*http.Request) *page.Notice
	Log    *slog.Logger
}

// A Router is what there is to say of the router.
type Router struct {
	Model   string // its own words
	Own     string // our address behind it
	Gateway string
	Page    string // of its settings
	Speaks  string // "UPnP"
	EN, JA  string // how it stands about our ports
}

// A Dash is the owner's pages.
type Dash struct {
	o    Options
	set  *page.Set
	log  *slog.Logger
	jobs *jobs
}

// New makes the pages. It starts nothing; Close ends what they have started.
func New(o Options) *Dash {
	d := &Dash{o: o, log: o.Log}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.jobs = newJobs(d.log)
	if d.o.Require == nil {
		d.o.Require = func(next http.Handler) http.Handler { return next }
	}
	if d.o.Fresh == nil {
		d.o.Fresh = d.o.Require
	}
	d.set = o.Set.With(d.frame)
	return d
}

// Close ends what is under way, and returns when it has ended.
func (d *Dash) Close() { d.jobs.close() }

// Handler serves the pages. It goes into the handler of the Set, whose rules
// hold for it.
func (d *Dash) Handler() http.Handler {
	m := http.NewServeMux()
	for pattern, h := range d.routes() {
		m.Handle(pattern, d.o.Require(h))
	}
	for pattern, h := range d.guarded() {
		m.Handle(pattern, d.o.Fresh(h))
	}
	m.Handle("/", d.o.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.set.Error(w, r, http.StatusNotFound) })))
	return m
}

// routes are the pages and what is done from them.
func (d *Dash) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /{$}": d.home,

		"GET /people":                d.people,
		"GET /people/show":           d.person,
		"POST /people/add":           d.addPerson,
		"POST /people/change":        d.changePerson,
		"POST /people/disable":       d.disablePerson,
		"GET /people/device/remove":  d.askRemoveDevice,
		"POST /people/device/remove": d.removeDevice,
		"POST /people/profile":       d.profile,

		"GET /addresses": d.addresses,

		"GET /dns":                       d.domains,
		"GET /dns/domain":                d.domain,
		"GET /dns/domain/live":           d.domainLive,
		"GET /dns/zone":                  d.zoneFile,
		"POST /dns/plan":                 d.startPlan,
		"POST /dns/policy":               d.setPolicy,
		"GET /dns/reports":               d.reports,
		"POST /dns/reports/trust":        d.trust,
		"POST /dns/reports/mine":         d.mine,
		"POST /dns/keys/rotate":          d.rotateKeys,
		"POST /dns/keys/activate":        d.activateKeys,
		"GET /dns/name/remove":           d.askRemoveDyndns,
		"POST /dns/name/remove":          d.removeDyndns,
		"GET /dns/certificates":          d.certificates,
		"POST /dns/certificates":         d.agree,
		"POST /dns/certificates/retry":   d.retryCertificates,
		"POST /dns/certificates/no-more": d.withdraw,

		"GET /where": d.where,

		"GET /queue":          d.queue,
		"GET /queue/show":     d.queued,
		"POST /queue/retry":   d.queueAct("queue.retry", "retry"),
		"POST /queue/hold":    d.queueAct("queue.hold", "hold"),
		"POST /queue/release": d.queueAct("queue.release", "release"),

		"GET /network/machine/remove":  d.askRemoveMachine,
		"POST /network/machine/remove": d.removeMachine,

		"GET /network":        d.network,
		"POST /network/check": d.checkLine,
		"GET /network/mute":   d.mute,
		"POST /network/mute":  d.setMute,
		"POST /network/heard": d.endMute,
		"GET /network/live":   d.networkLive,

		"GET /sending":                 d.sending,
		"POST /sending/smarthost/test": d.trySmarthost,
		"GET /sending/coach":           d.coach,
		"POST /sending/coach":          d.readCoach,
		"POST /sending/bridge/act":     d.actBridge,

		"GET /security":              d.security,
		"GET /security/audit":        d.audit,
		"POST /security/session/end": d.endSession,
		"POST /security/ban/lift":    d.liftBan,
		"POST /security/pause":       d.pauseSending,
		"POST /security/resume":      d.resumeSending,

		"GET /updates":        d.updates,
		"GET /updates/live":   d.updatesLive,
		"POST /updates/check": d.lookForUpdates,

		"GET /logs":     d.logs,
		"GET /settings": d.settings,
	}
}

// guarded are what gives access away, leads mail elsewhere or destroys it, and the
// forms for it: who has filled one in is not asked for a password then, which would
// lose what was typed.
func (d *Dash) guarded() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /people/remove":   d.askRemovePerson,
		"POST /people/remove":  d.removePerson,
		"GET /queue/remove":    d.askRemoveQueued,
		"POST /queue/remove":   d.removeQueued,
		"GET /settings/change": d.setting,
		"POST /settings":       d.setSetting,

		"GET /updates/install":   d.askInstall,
		"POST /updates/install":  d.install,
		"GET /updates/settings":  d.updateSettings,
		"POST /updates/settings": d.setUpdateSettings,
		"GET " + uploadPath:      d.updateFile,
		"POST " + uploadPath:     d.sendUpdateFile,

		"GET /addresses/add":      d.newAlias,
		"POST /addresses/add":     d.addAlias,
		"GET /addresses/all":      d.newCatchAll,
		"POST /addresses/all":     d.addCatchAll,
		"GET /addresses/remove":   d.askRemoveAlias,
		"POST /addresses/remove":  d.removeAlias,
		"GET /addresses/forward":  d.newForward,
		"POST /addresses/forward": d.forward,

		"GET /sending/route":             d.route,
		"POST /sending/route":            d.setRoute,
		"GET /sending/route/remove":      d.askRemoveRoute,
		"POST /sending/route/remove":     d.removeRoute,
		"GET /sending/sender":            d.sender,
		"POST /sending/sender":           d.setSender,
		"GET /sending/sender/remove":     d.askRemoveSender,
		"POST /sending/sender/remove":    d.removeSender,
		"GET /sending/smarthost":         d.smarthost,
		"POST /sending/smarthost":        d.saveSmarthost,
		"GET /sending/smarthost/remove":  d.askRemoveSmarthost,
		"POST /sending/smarthost/remove": d.removeSmarthost,
		"GET /sending/bridge":            d.bridge,
		"POST /sending/bridge":           d.addBridge,
		"GET /sending/bridge/password":   d.bridgePassword,
		"POST /sending/bridge/password":  d.setBridgePassword,
		"GET /sending/bridge/remove":     d.askRemoveBridge,
		"POST /sending/bridge/remove":    d.removeBridge,

		"GET /people/password":  d.newPassword,
		"POST /people/password": d.resetPassword,
		"GET /people/device":    d.newDevice,
		"POST /people/device":   d.addDevice,

		"GET /security/owner":          d.newOwner,
		"POST /security/owner":         d.addOwner,
		"GET /security/owner/remove":   d.askRemoveOwner,
		"POST /security/owner/remove":  d.removeOwner,
		"GET /security/tokens":         d.tokens,
		"POST /security/tokens":        d.addToken,
		"GET /security/tokens/remove":  d.askRemoveToken,
		"POST /security/tokens/remove": d.removeToken,

		"GET /network/machine":  d.machine,
		"POST /network/machine": d.addMachine,

		"GET /dns/add":              d.newDomain,
		"POST /dns/add":             d.addDomain,
		"GET /dns/remove":           d.askRemoveDomain,
		"POST /dns/remove":          d.removeDomain,
		"GET /dns/name":             d.dyndns,
		"POST /dns/name":            d.addDyndns,
		"GET /dns/provider":         d.provider,
		"POST /dns/provider":        d.setProvider,
		"GET /dns/provider/remove":  d.askRemoveZone,
		"POST /dns/provider/remove": d.removeZone,
		"GET /dns/plan":             d.plan,
		"POST /dns/apply":           d.apply,
	}
}
