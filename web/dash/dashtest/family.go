package dashtest

import (
	"time"

	"homemail/admin"
	"homemail/bridge"
	"homemail/caps"
	"homemail/certs"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/events"
	"homemail/mail"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/relay/preset"
	"homemail/reports"
	"homemail/session"
	"homemail/store"
	"homemail/zones"
)

// Family is a house with a family, whose mail is mostly well. Own is put at the
// end of every text that comes from outside: names, subjects, addresses, what
// servers, routers and browsers say.
func Family(own string) *House {
	now := time.Now().Round(time.Second)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	p := func(s string) mail.Path { return mail.Path(s + own) }
	last := ago(3 * time.Minute)
	people := []admin.Account{
		{ID: 1, Address: "taro@example.jp", Name: "山田 太郎" + own, Language: "ja", Used: 12_400_000_000, Quota: 20_000_000_000, Messages: 84_233, Created: ago(9000 * time.Hour),
			Forward: []mail.Path{p("taro@work.example")},
			Devices: []admin.Device{{ID: "d1", Name: "太郎のiPhone" + own, Created: ago(4000 * time.Hour), LastUse: &last, LastFrom: "203.0.113.9" + own}, {ID: "d2", Name: "Printer" + own, Created: ago(100 * time.Hour)}}},
		{ID: 2, Address: "hanako@example.jp", Name: "山田 花子" + own, Language: "ja", Used: 2_100_000_000, Messages: 15_767, Created: ago(9000 * time.Hour), Devices: []admin.Device{{ID: "d3", Name: "Pixel"}}},
		{ID: 3, Address: "ken@example.jp", Name: "", Disabled: true, Used: 4_000_000, Messages: 40, Created: ago(2000 * time.Hour)},
	}
	event := func(e events.Event) admin.Event {
		return admin.Event{Event: e, Words: events.Words{What: e.Words("en").What, Why: e.Words("en").Why, Todo: e.Words("en").Todo}}
	}
	came := event(events.Event{Seq: 9, At: ago(4 * time.Minute), Kind: events.Received, ID: "01J8Z3" + own, From: p("hanako@example.net"), To: []mail.Path{"taro@example.jp"}, Subject: "週末の予定について" + own, Remote: "mx.example.net [198.51.100.7]" + own, TLS: "TLS 1.3"})
	filed := event(events.Event{Seq: 10, At: ago(4 * time.Minute), Kind: events.Filed, ID: "01J8Z3" + own, From: p("hanako@example.net"), To: []mail.Path{"taro@example.jp"}, Subject: "週末の予定について" + own, Mailbox: "INBOX" + own})
	wrote := event(events.Event{Seq: 7, At: ago(2 * time.Hour), Kind: events.Submitted, ID: "01J8Z1", From: "taro@example.jp", To: []mail.Path{p("orders@shop.example")}, Subject: "Re: Your parcel" + own, Device: "太郎のiPhone" + own})
	late := event(events.Event{Seq: 8, At: ago(time.Hour), Kind: events.Deferred, ID: "01J8Z1", From: "taro@example.jp", To: []mail.Path{p("orders@shop.example")}, Reply: mail.Reply{Code: 451, Text: "4.7.1 Please try again later" + own}, Next: now.Add(9 * time.Minute), Remote: "mx.shop.example" + own})
	in := event(events.Event{Seq: 6, At: ago(3 * time.Hour), Kind: events.SignedIn, Who: "taro@example.jp" + own, Remote: "192.168.1.40" + own, Door: "web", Device: "Safari, iPhone" + own})
	wrong := event(events.Event{Seq: 5, At: ago(5 * time.Hour), Kind: events.SignInFailed, Who: "admin" + own, Remote: "203.0.113.66" + own, Door: "imap", Reason: events.WrongPassword})
	changed := event(events.Event{Seq: 4, At: ago(26 * time.Hour), Kind: events.Changed, What: "device.add", Who: "taro@example.jp" + own, Remote: "192.168.1.40", Door: "web", Detail: "hanako@example.jp, Pixel" + own})
	h := &House{Home: admin.Overview{
		Version: "0.5.0" + own, Started: ago(240 * time.Hour), Mode: dnsplan.Smarthost,
		Lights: []admin.Light{
			{Name: "receiving", State: check.Good, Code: "good", At: ago(4 * time.Minute)},
			{Name: "sending", State: check.Waiting, Code: "waiting", Count: 2},
			{Name: "safe", State: check.Good, Code: "guessed", Count: 3},
			{Name: "backup", State: admin.LightOff, Code: "later"},
			{Name: "update", State: check.Waiting, Code: "ready", Who: "0.6.0" + own},
		},
		Accounts: 3, Messages: 100_040, Used: 14_504_000_000, Free: 401_000_000_000, Months: 62, Waiting: 2,
	}}
	h.Answers = map[string]any{
		"account.list": people, "account.add": people[1], "account.change": people[0], "account.remove": admin.Empty{},
		"device.add":     admin.NewDevice{ID: "d9", Address: "taro@example.jp", Password: "abcd-efgh-jkmn-pqrs"},
		"device.revoke":  admin.Empty{},
		"password.reset": admin.NewPassword{Address: "taro@example.jp", Password: "harbor-violin-maple-trout"},
		"alias.list": []admin.Alias{
			{Address: p("family@example.jp"), To: []mail.Path{"taro@example.jp", p("hanako@example.jp")}},
			{Address: "@example.jp", To: []mail.Path{"taro@example.jp"}},
		},
		"alias.add": admin.Empty{}, "alias.remove": admin.Empty{}, "forward": admin.Empty{},
		"domain.list": []string{"example.jp", "xn--wgv71a119e.example"}, "domain.add": admin.Empty{}, "domain.remove": admin.Empty{},
		"setting.list": settings(), "setting.set": settings(),
		"events.find":  admin.Events{Events: []admin.Event{came, late, wrote, in, wrong, changed}, Next: 3},
		"events.where": admin.Ways{Ways: []admin.Way{{ID: "01J8Z3" + own, Events: []admin.Event{came, filed}}, {ID: "01J8Z1", Events: []admin.Event{wrote, late}}}, Next: 3},
		"events.trace": admin.Way{ID: "01J8Z1", Events: []admin.Event{wrote, late}},
		"owner.list":   []admin.Person{{Address: "taro@example.jp", Name: "山田 太郎" + own, Password: true, Factors: session.Factors{TOTP: true}}},
		"owner.add":    admin.Empty{}, "owner.remove": admin.Empty{},
		"session.list": []admin.WebSession{{ID: "s1" + own, Address: "taro@example.jp", Role: session.Owner, Created: ago(9 * time.Hour), Seen: ago(time.Hour), Remote: "192.168.1.40" + own, Browser: "Safari, iPhone" + own}},
		"session.end":  admin.Empty{},
		"ban.list":     []admin.Ban{{Address: "203.0.113.66" + own, Until: now.Add(20 * time.Minute), Times: 2, Refused: 31}, {Address: "2001:db8:12:34::/64", Until: now.Add(time.Hour), Times: 1}}, "ban.lift": admin.Empty{},
		"token.list": []admin.Token{{Name: "grafana" + own, Scopes: []admin.Scope{admin.ScopeMetrics, admin.ScopeRead}, Created: ago(900 * time.Hour), Expires: now.Add(7000 * time.Hour), LastUse: ago(time.Hour), LastFrom: "192.168.1.50"}, {Name: "backup", Scopes: []admin.Scope{admin.ScopeAll}, Created: ago(time.Hour)}},
		"token.add":  admin.NewToken{Token: admin.Token{Name: "grafana" + own}, Secret: "hm_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}, "token.remove": admin.Empty{},
		"sending.list": []admin.Sending{
			{Address: "taro@example.jp", Hour: 2, Day: 14},
			{Address: "ken@example.jp", Hour: 201, Day: 201, New: 190, Pause: &caps.Pause{Account: 3, Since: ago(time.Hour), Count: 210, Limit: 200, Reason: "more than 200 recipients in an hour" + own}},
		},
		"sending.pause": admin.Count{Count: 3}, "sending.resume": admin.Count{Count: 3},
	}
	h.mailOut(own, now)
	h.line(own, now)
	h.names(own, now)
	h.updates(own)
	return h
}

// mailOut is what waits, and the ways out.
func (h *House) mailOut(own string, now time.Time) {
	waits := queue.Summary{
		Number: 7, ID: "01J8Z1" + own, Account: 1, From: mail.Path("taro@example.jp" + own), To: []mail.Path{mail.Path("orders@shop.example" + own)}, Size: 18_400,
		Queued: now.Add(-2 * time.Hour), Age: 2 * time.Hour, Waiting: 1, Next: now.Add(9 * time.Minute), Why: "shop.example is busy and asks us to come back later." + own,
	}
	held := queue.Summary{Number: 8, ID: "01J8Z9", Account: 3, From: "ken@example.jp", To: []mail.Path{"a.very.long.address.of.somebody.far.away@subdomain.of.a.long.company.name.example"}, Size: 2_400_000,
		Queued: now.Add(-26 * time.Hour), Age: 26 * time.Hour, Waiting: 1, Held: 1, Hold: "held by the owner"}
	add := map[string]any{
		"queue.list": []queue.Summary{waits, held},
		"queue.show": []queue.Detail{{Summary: waits, Recipients: []queue.Recipient{{
			To: mail.Path("orders@shop.example" + own), Next: now.Add(9 * time.Minute), Count: 2,
			Tries: []queue.Try{{At: now.Add(-time.Hour), What: "mx.shop.example did not take it yet." + own, Why: "It said: 4.7.1 Please try again later" + own, Todo: "Nothing for you to do."}},
		}}}},
		"queue.retry": admin.Count{Count: 1}, "queue.hold": admin.Count{Count: 1}, "queue.release": admin.Count{Count: 1}, "queue.remove": admin.Count{Count: 1},
		"route.list":   admin.Routes{Domains: []admin.Route{{Domain: "default", Way: relay.Via, Smarthost: "ocn" + own}, {Domain: "outlook.com" + own, Way: relay.Direct}}, Senders: []admin.SenderRoute{{Address: mail.Path("taro@isp.example" + own), Smarthost: "ocn"}}},
		"route.sender": admin.Empty{}, "bridge.password": admin.Empty{},
		"machine.list": []admin.Machine{{Name: "プリンター" + own, Address: "192.168.1.30" + own, For: mail.Path("taro@example.jp" + own), From: store.RewriteFrom}, {Name: "Camera", Address: "192.168.1.31", For: "taro@example.jp", Local: true}},
		"line.mute":    admin.Empty{},
		"machine.add":  admin.Caution{}, "machine.remove": admin.Empty{},
		"route.set": admin.Empty{}, "route.remove": admin.Empty{},
		"smarthost.presets": preset.All(),
		"smarthost.list":    []outbound.Smarthost{{Name: "ocn" + own, Host: "smtp.isp.example" + own, Port: 465, TLS: relay.TLSImplicit, User: "taro@isp.example" + own}},
		"smarthost.save":    relay.Report{OK: true}, "smarthost.test": relay.Report{OK: true}, "smarthost.remove": admin.Empty{},
		"bridge.list": []admin.Bridge{{Account: bridge.Account{ID: "b1" + own, Address: mail.Path("taro@isp.example" + own), Host: "imap.isp.example" + own, Kind: bridge.IMAP}, For: "taro@example.jp",
			Status: bridge.Status{State: bridge.Failing, Problem: "imap.isp.example did not take the password." + own, Told: dnsplan.Text{EN: "imap.isp.example did not take the password." + own, JA: "imap.isp.example がパスワードを受け付けませんでした。" + own}, Fetched: 214, LastVisit: now.Add(-time.Hour)}}},
		"bridge.add": admin.NewBridge{ID: "b2"}, "bridge.fetch": admin.Empty{}, "bridge.pause": admin.Empty{}, "bridge.resume": admin.Empty{}, "bridge.remove": admin.Empty{},
	}
	for name, answer := range add {
		h.Answers[name] = answer
	}
}

// line is what the checks have found.
func (h *House) line(own string, now time.Time) {
	result := func(name, en, ja string, state check.State, means, kore, do, suru string, on ...string) check.Result {
		return check.Result{Name: name, Title: check.Text{EN: en, JA: ja}, State: state, Tested: now.Add(-10 * time.Minute), Since: now.Add(-20 * time.Hour),
			Means: check.Text{EN: means + own, JA: kore + own}, Do: check.Text{EN: do, JA: suru}, DependsOn: on, Needed: true, Detail: "asked 192.0.2.1" + own}
	}
	address := result("address4", "Public address (IPv4)", "グローバルIPv4アドレス", check.Good, "The world sees this house as 203.0.113.20.", "外からは203.0.113.20に見えます。", "", "", "route")
	address.Data = map[string]string{"address": "203.0.113.20" + own}
	out25 := result("out25", "Can you send to every mail server?", "直接送信 (25番、OP25B)", check.Bad, "Your provider does not let mail out directly.", "プロバイダーが直接の送信を止めています。", "Send through your provider's server.", "プロバイダーの送信サーバーを使ってください。", "dns")
	out25.Needed = false
	listed := result("blocklist", "Is your address on a block list?", "ブロックリスト", check.Bad, "203.0.113.20 is listed as a home line.", "家庭用回線のアドレスとして登録されています。", "Send through a provider.", "中継サーバーを使ってください。", "dns")
	listed.Muted = &check.Mute{Since: now.Add(-24 * time.Hour), Until: now.Add(29 * 24 * time.Hour), Code: "listed", Reason: "We send through OCN." + own}
	h.Answers["line.check"] = admin.Line{Worst: check.Bad, Results: []check.Result{
		result("route", "Is the house connected?", "インターネットへの接続", check.Good, "It is.", "つながっています。", "", ""),
		result("dns", "Are names found?", "名前の検索 (DNS)", check.Good, "They are.", "検索できます。", "", "", "route"),
		result("router", "Does the router answer?", "ルーターの応答", check.Good, "WG1200HP4 answers.", "WG1200HP4が応答しました。", "", "", "route"),
		address, out25, listed,
		result("in25", "Can others send you mail?", "メールの受信 (25番)", check.Good, "They can.", "受け取れます。", "", "", "probe"),
		result("in993", "Can your phone read mail outside?", "外出先での受信 (993番)", check.Bad, "Port 993 does not reach this computer.", "993番ポートがこのコンピューターに届いていません。", "Open it on the router.", "ルーターで993番を開放してください。", "probe"),
		result("ptr", "Reverse name of your address", "逆引き (PTR)", check.CouldNotTest, "It could not be asked.", "確認できませんでした。", "", "", "probe"),
		result("certificate", "Is the certificate valid?", "証明書", check.Good, "It is, until March.", "有効です。", "", ""),
		result("disk", "Is there room for mail?", "空き容量", check.Good, "There is.", "十分あります。", "", ""),
	}, Recommend: check.Recommendation{Mode: check.Smarthost, Code: "op25b", Reason: check.Text{EN: "Mail can come in, but your provider does not let it out directly." + own, JA: "受信はできますが、プロバイダーが直接の送信を止めています。" + own}}}
}

// names are the DNS, certificates and reports.
func (h *House) names(own string, now time.Time) {
	record := func(rank dnsplan.Rank, kind dnsplan.Kind, name, typ, value, en, ja string) dnsplan.Record {
		return dnsplan.Record{Name: name, Type: typ, Values: []string{value}, TTL: time.Hour, Rank: rank, Kind: kind, Purpose: dnsplan.Text{EN: en, JA: ja}}
	}
	dkim := "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr3tVLJ3mHc2eX0m1gTn5QpQ0n3uQx7pY4wJ8kq9sVb1zN6cR2aD5fG8hJ4kL7mN0pQ3rS6tU9vW2xY5zA8bC1dE4fG7hI0jK3lM6nO9pQ2rS5tU8vW1xY4zA7bC0dE3fG6hIwIDAQAB"
	records := []dnsplan.Record{
		record(dnsplan.Required, dnsplan.KindHost, "mail.example.jp", "A", "203.0.113.20", "Where your server is.", "サーバーの場所を示します。"),
		record(dnsplan.Required, dnsplan.KindMX, "example.jp", "MX", "10 mail.example.jp", "Mail for example.jp comes here.", "example.jp宛てのメールをここに届けます。"),
		record(dnsplan.Required, dnsplan.KindSPF, "example.jp", "TXT", "v=spf1 a:mail.example.jp include:spf.isp.example ~all", "Who may send in your name.", "あなたの名前で送信できるサーバーを示します。"),
		record(dnsplan.Required, dnsplan.KindDKIM, "h1._domainkey.example.jp", "TXT", dkim, "The key of your signatures.", "署名の確認に使う鍵です。"),
		record(dnsplan.Recommended, dnsplan.KindTLSRPT, "_smtp._tls.example.jp", "TXT", "v=TLSRPTv1; rua=mailto:postmaster@example.jp", "Where others report about encryption.", "暗号化に関する報告先です。"),
		record(dnsplan.Optional, dnsplan.KindCAA, "mail.example.jp", "CAA", `0 issue "letsencrypt.org"`, "Who may make certificates.", "証明書を発行できる認証局です。"),
	}
	states := []dnsplan.State{dnsplan.Correct, dnsplan.Differs, dnsplan.Conflict, dnsplan.NotSeen, dnsplan.CouldNotAsk, dnsplan.Correct}
	var results []dnsplan.Result
	for i, r := range records {
		res := dnsplan.Result{Record: r, State: states[i]}
		if states[i] != dnsplan.Correct {
			res.Why = dnsplan.Text{EN: "It is not as it should be." + own, JA: "あるべき値と違います。" + own}
		}
		if states[i] == dnsplan.Differs || states[i] == dnsplan.Conflict {
			res.Now = []string{"10 mx.old.example" + own}
		}
		results = append(results, res)
	}
	host := dnsplan.DNSHost{Name: "Cloudflare" + own, NS: []string{"ns1.example" + own}, Zone: "example.jp", Provider: "cloudflare", URL: "https://dash.cloudflare.example/" + own, Names: dnsplan.ShortName, Texts: dnsplan.OneString}
	steps := []publish.Step{
		{Change: dnsplan.Change{Action: dnsplan.Add, Name: "h1._domainkey.example.jp", Type: "TXT", Add: []string{dkim}}},
		{Change: dnsplan.Change{Action: dnsplan.Replace, Name: "example.jp", Type: "TXT", Del: []string{"v=spf1 -all" + own}, Add: []string{"v=spf1 a:mail.example.jp -all"}, Keep: []string{"site-verification=x" + own}}},
	}
	push := admin.Push{Domain: "example.jp", Changes: []publish.Changes{{Zone: "example.jp", Steps: steps, ByHand: results[2:3]}}, Elsewhere: records[4:5], Notes: []string{"a note" + own}, Told: []dnsplan.Text{{EN: "a note" + own, JA: "メモ" + own}}}
	done := []admin.Pushed{{Zone: "example.jp", Report: publish.Report{Done: steps[:1], NotDone: steps[1:]}, Error: "the provider answers 503" + own}}
	add := map[string]any{
		"dns.plan":  admin.DNSPlan{Domain: "example.jp", Mode: dnsplan.Smarthost, Host: host, Records: records, Results: results, Zone: "; records\n", Notes: []string{"a note about the zone" + own}, Told: []dnsplan.Text{{EN: "a note about the zone" + own, JA: "ゾーンについてのメモ" + own}}},
		"mx.show":   admin.MX{Domain: "example.jp", Now: []string{"10 mx.old.example" + own}, Former: &publish.FormerMX{Values: []string{"10 mx.older.example" + own}, At: now}},
		"zone.list": []admin.ZoneState{{Zone: zones.Zone{Name: "example.jp", Provider: "cloudflare", Follow: true, Trouble: own}, Updater: &admin.Updater{Error: "the token was refused" + own}}},
		"zone.set":  admin.Notes{}, "zone.remove": admin.Empty{},
		"publish.plan": push, "mx.plan": push, "mx.restore-plan": push, "publish.apply": done, "mx.switch": done, "mx.restore": done,
		"dns.policy": admin.DomainPolicy{Domain: "example.jp", Policy: reports.Policy{DMARC: "none", STS: "testing"}},
		"reports.show": []admin.DomainReports{{
			Overview: reports.Overview{Domain: "example.jp", Policy: reports.Policy{DMARC: "none", STS: "testing"},
				Sources:  []reports.Source{{IP: "203.0.113.20", Kind: reports.Own, Passed: 412}, {IP: "198.51.100.99" + own, Kind: reports.Stranger, Failed: 7}},
				DMARC:    []reports.Reporter{{Domain: "google.com" + own, Org: "google.com" + own, Counts: true, Reports: 12}, {Domain: "odd.example" + own, Org: "Odd" + own, Reports: 1}},
				Failures: []reports.Failure{{Type: "certificate-expired" + own, MX: "mail.example.jp" + own, Count: 3}}},
			NextDMARC: reports.Proposal{Now: "none", Next: "quarantine", Ready: true, Why: reports.Text{EN: "All was well for 14 days.", JA: "14日間問題がありませんでした。"}},
			NextSTS:   reports.Proposal{Now: "testing", Next: "enforce", Why: reports.Text{EN: "Two more good days are needed.", JA: "あと2日、問題のない日が必要です。"}},
		}},
		"reports.trust": admin.Empty{}, "reports.mine": admin.Empty{},
		"dyndns.list": []admin.NameState{{Name: zones.Name{Host: "myhouse.dy.fi" + own, Service: "dyfi" + own, User: "taro"}, Updater: &admin.Updater{Done: "203.0.113.20", At: now.Add(-time.Hour)}},
			{Name: zones.Name{Host: "other.dyn.example", Service: "dyn.example", User: "taro"}, Updater: &admin.Updater{Stopped: true, Error: "badauth" + own}}},
		"dyndns.add": admin.Empty{}, "dyndns.remove": admin.Empty{},
		"dkim.list":   []admin.DKIMKey{{Domain: "example.jp", Selector: "h1" + own, Algorithm: "rsa-sha256", State: "active", Created: now.Add(-9000 * time.Hour)}, {Domain: "example.jp", Selector: "h2", Algorithm: "ed25519-sha256", State: "next", Created: now.Add(-time.Hour)}, {Domain: "example.jp", Selector: "h0", Algorithm: "rsa-sha256", State: "retired", Created: now.Add(-9900 * time.Hour)}},
		"dkim.rotate": []admin.DKIMKey{}, "dkim.activate": []admin.DKIMKey{},
		"certificate.list": admin.Certificates{Directory: "https://acme.example/directory", Agreed: &certs.Consent{Directory: "https://acme.example/directory", Given: now.Add(-700 * time.Hour)}, Host: "mail.example.jp",
			Names: []certs.Status{
				{Name: "mail.example.jp", Shown: certs.Valid, Issuer: "Let's Encrypt R11" + own, NotAfter: now.Add(1400 * time.Hour), Renew: now.Add(700 * time.Hour), Fingerprint: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
				{Name: "mta-sts.example.jp", Shown: certs.None, Doing: certs.Failed, Trouble: certs.Text{EN: "The authority could not reach port 80 of this house. Open it on the router." + own, JA: "認証局からこの家のポート80に接続できませんでした。ルーターで開放してください。" + own}, Next: now.Add(time.Hour)},
			}},
		"certificate.agree": admin.Certificates{}, "certificate.retry": admin.Certificates{}, "certificate.withdraw": admin.Empty{},
	}
	for name, answer := range add {
		h.Answers[name] = answer
	}
}
