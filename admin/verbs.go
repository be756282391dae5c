package admin

import (
	"context"
	"reflect"
	"slices"
)

// A Scope is what a token of the JSON API may do.
type Scope string

// The scopes. What has ScopeNone takes an owner at the command line or in the
// pages: with it a token could make itself mightier, or last longer, than its
// owner meant it to.
const (
	ScopeNone     Scope = ""
	ScopeRead     Scope = "read"     // all that changes nothing
	ScopeMetrics  Scope = "metrics"  // the figures for Prometheus alone
	ScopePeople   Scope = "people"   // accounts, their devices and addresses
	ScopeMail     Scope = "mail"     // the queue, who may send, where a message is
	ScopeNames    Scope = "names"    // domains, the DNS and certificates
	ScopeSettings Scope = "settings" // settings, ways out, bridges, machines
	ScopeAll      Scope = "all"      // everything but what has ScopeNone
)

// Scopes are those that a token may have.
func Scopes() []Scope {
	return []Scope{ScopeRead, ScopeMetrics, ScopePeople, ScopeMail, ScopeNames, ScopeSettings, ScopeAll}
}

// An Operation is something that can be asked for, as programs need to know it.
type Operation struct {
	Name    string
	Request reflect.Type // what its JSON is decoded into
	Answer  reflect.Type
	Changes bool  // or acts in some other way than by answering
	Scope   Scope // besides ScopeAll, and ScopeRead where it changes nothing
	About   string
}

// Allowed reports whether a token with these scopes may ask for it.
func (o Operation) Allowed(scopes []Scope) bool {
	if o.Scope == ScopeNone {
		return false
	}
	has := func(s Scope) bool { return slices.Contains(scopes, s) }
	return has(ScopeAll) || has(o.Scope) || !o.Changes && has(ScopeRead)
}

// Operations are all that can be asked for, by group.
func Operations() []Operation {
	return slices.Concat(
		of(ScopePeople, peopleVerbs()),
		of(ScopeMail, mailVerbs()),
		of(ScopeNames, nameVerbs()),
		of(ScopeNames, publishVerbs()),
		of(ScopeSettings, settingVerbs()),
		of(ScopeSettings, wayVerbs()),
		of(ScopeSettings, updateVerbs()),
		of(ScopeNone, ownerVerbs()))
}

func of(s Scope, verbs []Operation) []Operation {
	for i := range verbs {
		verbs[i].Scope = s
	}
	return verbs
}

// reads describes an operation that only answers. Its types are those of the
// function, so that they cannot be told wrong.
func reads[Q, A any](name string, _ func(*House, context.Context, Q) (A, error), about string) Operation {
	return Operation{Name: name, Request: reflect.TypeFor[Q](), Answer: reflect.TypeFor[A](), About: about}
}

// does describes an operation that changes something.
func does[Q, A any](name string, fn func(*House, context.Context, Q) (A, error), about string) Operation {
	o := reads(name, fn, about)
	o.Changes = true
	return o
}

func peopleVerbs() []Operation {
	return []Operation{
		does("account.add", (*House).addAccount, "Makes an account. Its mail programs need a device password each."),
		reads("account.list", (*House).listAccounts, "Lists the accounts with their devices."),
		does("account.remove", (*House).removeAccount, "Removes an account with all its mail."),
		does("account.change", (*House).changeAccount, "Changes what is said of an account; what is left out stays. A token never sets a password."),
		does("device.add", (*House).addDevice, "Makes a password for one mail program. It is in this answer and nowhere else."),
		reads("device.list", (*House).listDevices, "Lists the mail programs that may sign in."),
		does("device.revoke", (*House).revokeDevice, "Ends a device's sessions and takes its password back."),
		does("alias.add", (*House).addAlias, "Lets an address lead to others. @DOMAIN takes what nobody else takes."),
		reads("alias.list", (*House).listAliases, "Lists the aliases."),
		does("alias.remove", (*House).removeAlias, "Removes an alias."),
		does("forward", (*House).forward, "Sends an account's mail on to other addresses."),
		reads("vacation.show", (*House).showVacation, "Shows what is answered while a person is away."),
		does("vacation.set", (*House).setVacation, "Says what is answered while a person is away."),
		reads("mailbox.list", (*House).listMailboxes, "Lists an account's mailboxes."),
		reads("session.list", (*House).listSessions, "Lists who is signed in on the web: one address, or everybody."),
		does("session.end", (*House).endSessions, "Signs somebody out on the web, in one browser or everywhere."),
		reads("ban.list", (*House).listBans, "Lists the addresses that may not sign in for a while, as too many sign-ins from there failed."),
		does("ban.lift", (*House).liftBan, "Lets an address that may not sign in try again at once."),
	}
}

func mailVerbs() []Operation {
	return []Operation{
		reads("queue.list", (*House).listQueue, "Lists the mail that still has to leave."),
		reads("queue.show", (*House).showQueue, "Shows a message in the queue with each of its recipients and tries."),
		does("queue.retry", (*House).retryQueue, "Tries a message again now."),
		does("queue.retry-domain", (*House).retryDomain, "Tries everything for a domain again now."),
		does("queue.hold", (*House).holdQueue, "Keeps a message from being tried until it is released."),
		does("queue.release", (*House).releaseQueue, "Lets a held message be tried again."),
		does("queue.remove", (*House).removeQueue, "Takes a message out of the queue; its sender may be told."),
		reads("sending.list", (*House).listSending, "Lists who has written to the outside, how much, and who may not go on."),
		does("sending.pause", (*House).pauseSending, "Lets nothing more of an account leave."),
		does("sending.resume", (*House).resumeSending, "Lets an account's mail leave again."),
		reads("events.find", (*House).findEvents, "Finds what happened, the newest first."),
		reads("events.trace", (*House).traceEvents, "Tells what became of one message."),
		reads("events.where", (*House).whereEvents, "Finds messages by address, subject or time, and tells what became of each."),
		reads("events.stats", (*House).eventStats, "Tells how many events are kept."),
	}
}

func nameVerbs() []Operation {
	return []Operation{
		does("domain.add", (*House).addDomain, "Takes mail for a domain. The address in the request is the domain."),
		reads("domain.list", (*House).listDomains, "Lists the domains that mail is taken for."),
		does("domain.remove", (*House).removeDomain, "Takes no more mail for a domain."),
		reads("domain.look", (*House).lookDomain, "Tells what the DNS says of a domain that may be nobody's here."),
		does("freename.register", (*House).registerName, "Gets a free name below dedyn.io from deSEC."),
		reads("dns.plan", (*House).planDNS, "Tells which records a domain should have, and compares them with those that are there."),
		does("dns.policy", (*House).domainPolicy, "Shows what a domain asks of others by DMARC, MTA-STS and TLS reports, and changes what is named."),
		reads("dkim.list", (*House).listKeys, "Lists the keys that mail is signed with."),
		does("dkim.rotate", (*House).rotateKeys, "Makes new keys, to be published before they are used."),
		does("dkim.activate", (*House).activateKeys, "Signs with the new keys from now on."),
		reads("certificate.list", (*House).listCertificates, "Lists the certificates and how each stands."),
		does("certificate.agree", (*House).agreeCA, "Agrees to the terms of the certificate authority."),
		does("certificate.withdraw", (*House).withdrawCA, "Asks the certificate authority nothing more."),
		does("certificate.retry", (*House).retryCertificates, "Asks for the certificates that are missing now."),
		reads("reports.show", (*House).showReports, "Shows what others have reported about our mail."),
		does("reports.trust", (*House).trustReporter, "Says whether a reporter's reports count."),
		does("reports.mine", (*House).setMine, "Says that an address that sends in our name is ours."),
	}
}

func publishVerbs() []Operation {
	return []Operation{
		does("zone.set", (*House).setZone, "Says at which DNS provider a zone is, with what it asks for. The credentials are never shown again."),
		does("zone.follow", (*House).followZone, "Says whether a zone is kept right when our address changes."),
		reads("zone.list", (*House).listZones, "Lists the zones that we may change."),
		does("zone.remove", (*House).removeZone, "Forgets a zone and its credentials."),
		does("dyndns.add", (*House).addDyndns, "Tells a dyndns2 service our address from now on."),
		reads("dyndns.list", (*House).listDyndns, "Lists the names at dyndns2 services."),
		does("dyndns.remove", (*House).removeDyndns, "Tells a service our address no more."),
		reads("publish.plan", (*House).planPush, "Tells what would have to be changed at the DNS providers, but for the MX."),
		does("publish.apply", (*House).applyPush, "Changes what publish.plan has told, and only if nothing else has changed meanwhile."),
		reads("mx.plan", (*House).planMX, "Tells what would have to be changed so that a domain's mail comes here."),
		does("mx.switch", (*House).switchMX, "Lets a domain's mail come here, as mx.plan has told."),
		reads("mx.restore-plan", (*House).planRestoreMX, "Tells what would have to be changed so that mail goes where it went before."),
		does("mx.restore", (*House).restoreMX, "Lets a domain's mail go where it went before."),
		reads("mx.show", (*House).showMX, "Tells where a domain's mail goes, and where it went before."),
	}
}

func settingVerbs() []Operation {
	return []Operation{
		reads("status", (*House).status, "Tells whether all is well."),
		reads[Empty, Overview]("overview", nil, "Tells how the house is, at a glance."),
		reads("line.check", (*House).checkLine, "Looks at what the line lets through. It may take a minute."),
		does("line.mute", (*House).muteCheck, "Quiets a check until it finds something else, or for some days: it stays listed, makes nothing red and tells nobody."),
		does("check", (*House).check, "Verifies everything that is stored, and repairs it if asked to."),
		does("maintain", (*House).maintain, "Gives back the space of removed mail now, instead of in the night."),
		reads("setting.list", (*House).listSettings, "Lists the settings in force and where each comes from."),
		does("setting.set", (*House).setSetting, "Keeps a setting, or forgets it. The server starts again with it."),
		reads("alert.show", (*House).showAlert, "Shows which address outside is written to when something changes."),
		does("alert.set", (*House).setAlert, "Says which address outside is written to when something changes."),
		does("machine.add", (*House).addMachine, "Lets a device of the house, such as a printer, send without signing in."),
		reads("machine.list", (*House).listMachines, "Lists those devices."),
		does("machine.remove", (*House).removeMachine, "Lets a device send no more."),
	}
}

func wayVerbs() []Operation {
	return []Operation{
		does("route.set", (*House).setRoute, "Says how mail for a domain leaves: directly, or through a smarthost."),
		reads("route.list", (*House).listRoutes, "Lists how mail leaves."),
		does("route.remove", (*House).removeRoute, "Lets a domain's mail leave as all other mail."),
		does("route.sender", (*House).setSender, "Says how the mail of one sender leaves."),
		reads("smarthost.presets", (*House).listPresets, "Lists the smarthosts that are known by name."),
		does("smarthost.save", (*House).saveSmarthost, "Keeps a smarthost after trying it. Its password is never shown again."),
		does("smarthost.test", (*House).trySmarthost, "Tries a smarthost: connects, signs in, and sends nothing."),
		reads("smarthost.list", (*House).listSmarthosts, "Lists the smarthosts."),
		does("smarthost.remove", (*House).removeSmarthost, "Forgets a smarthost."),
		does("bridge.add", (*House).addBridge, "Fetches the mail of a mailbox elsewhere from now on."),
		does("bridge.password", (*House).setBridgePassword, "Gives a bridge a new password."),
		reads("bridge.list", (*House).listBridges, "Lists the bridges and how each stands."),
		does("bridge.remove", (*House).removeBridge, "Ends a bridge. The mail that it has fetched stays."),
		does("bridge.fetch", (*House).fetchBridge, "Fetches now."),
		does("bridge.pause", (*House).pauseBridge, "Fetches nothing until the bridge is resumed."),
		does("bridge.resume", (*House).resumeBridge, "Fetches again."),
	}
}

func ownerVerbs() []Operation {
	return []Operation{
		reads("owner.list", (*House).listOwners, "Lists the owners."),
		does("owner.add", (*House).addOwner, "Makes somebody an owner."),
		does("owner.remove", (*House).removeOwner, "Makes an owner a person like the others."),
		does("owner.reset", (*House).resetOwner, "Makes a new password for an owner who cannot get in."),
		does("password.reset", (*House).resetPassword, "Makes a new password for the web."),
		does("password.verify", (*House).verifyPassword, "Tells whether a person's own password is right."),
		does("token.add", (*House).addToken, "Makes a token. It is in this answer and nowhere else."),
		reads("token.list", (*House).listTokens, "Lists the tokens, but not what they are."),
		does("token.remove", (*House).removeToken, "Takes a token back."),
	}
}
