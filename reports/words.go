package reports

import (
	"fmt"
	"slices"
	"time"

	"homemail/dnsplan"
)

// Text is something said in the languages that we speak.
type Text = dnsplan.Text

// A Proposal is what we think of a policy: what could be next, and why.
type Proposal struct {
	Now   string `json:"now"`
	Next  string `json:"next"`
	Ready bool   `json:"ready"` // to set Next now
	Why   Text   `json:"why"`
}

// recent is how long after something of ours failed under a strict policy a
// milder one is proposed.
const recent = 7 * 24 * time.Hour

// ProposeDMARC says which DMARC policy is right now.
func (o Overview) ProposeDMARC(now time.Time) Proposal {
	p := Proposal{Now: o.Policy.DMARC}
	p.Next, p.Ready = dnsplan.ProposeDMARC(p.Now, o.CleanDays)
	days := o.since(o.Policy.DMARCSince)
	bad, failed := last(days, func(d Day) bool { return d.DMARC == Unclean })
	passed := sum(days, o.CleanDays, func(d Day) (bool, int64) { return d.DMARC == Clean, d.Passed })
	switch {
	case p.Ready:
		p.Why = say("%[1]d of %[1]d messages passed on %[2]d clean days: %[3]s is safe now.", "%[2]d 日間、%[1]d 通のうち %[1]d 通が合格しました。%[3]s にしても安全です。", passed, o.CleanDays, p.Next)
	case failed && p.Now != "none" && fresh(bad, now):
		p.Next, p.Ready = milder(dmarcPolicies, p.Now), true
		p.Why = say("On %[1]s %[2]d of %[3]d messages of your own failed, and others may have put them away as junk or refused them: go back to %[4]s until that is mended.",
			"%[1]s に、あなたのメール %[3]d 通のうち %[2]d 通が不合格になりました。迷惑メール扱いや拒否をされたかもしれません。直るまで %[4]s に戻してください。", bad.Date, bad.Failed, bad.Failed+bad.Passed, p.Next)
	case o.CleanDays == 0 && !failed && !o.Policy.DMARCSince.IsZero():
		p.Why = say("Nobody who counts has reported on your mail since %s was set: look again in a day or two.",
			"%s にしてから、あなたのメールについて信頼できる報告はまだありません。一両日中にまた確認してください。", p.Now)
	case p.Now == "reject":
		p.Why = say("Nothing is stricter. Nothing of your own has failed lately.", "これより厳しい設定はありません。最近、あなたのメールの不合格はありません。")
	case failed:
		p.Why = say("%[1]d of %[2]d clean days. On %[3]s %[4]d of %[5]d messages of your own failed: see the sources.",
			"問題のない日は %[2]d 日のうち %[1]d 日です。%[3]s に、あなたのメール %[5]d 通のうち %[4]d 通が不合格でした。送信元を見てください。", o.CleanDays, needDMARC(p.Now), bad.Date, bad.Failed, bad.Failed+bad.Passed)
	case o.CleanDays == 0:
		p.Why = say("Nobody who counts has reported on your mail yet. Reports come a day after mail went to Google, Microsoft and the like.",
			"あなたのメールについて、信頼できる報告はまだありません。Google や Microsoft などに送った翌日ごろに届きます。")
	default:
		p.Why = say("%[1]d of %[2]d clean days; %[3]d of %[3]d messages passed. Stay at %[4]s until then.",
			"問題のない日は %[2]d 日のうち %[1]d 日です。%[3]d 通のうち %[3]d 通が合格しました。それまで %[4]s のままにしてください。", o.CleanDays, needDMARC(p.Now), passed, p.Now)
	}
	return p
}

// ProposeSTS says which mode of MTA-STS is right now.
func (o Overview) ProposeSTS(now time.Time) Proposal {
	p := Proposal{Now: o.Policy.STS}
	p.Next, p.Ready = dnsplan.ProposeSTS(p.Now, o.GoodDays)
	days := o.since(o.Policy.STSSince)
	bad, failed := last(days, func(d Day) bool { return d.TLS == Unclean })
	switch {
	case p.Ready:
		n := sum(days, o.GoodDays, func(d Day) (bool, int64) { return d.TLS == Clean, d.Sessions })
		p.Why = say("%d good days, with %d encrypted deliveries reported and none that failed: enforce is safe now.", "%d 日間問題がなく、報告された暗号化配送 %d 件に失敗はありません。enforce にしても安全です。", o.GoodDays, n)
	case failed && p.Now == "enforce" && fresh(bad, now):
		p.Next, p.Ready = "testing", true
		p.Why = say("On %s encryption to you failed, and others may hold mail back: mend it, or go back to testing.", "%s に暗号化の失敗がありました。メールが送信側で止まるおそれがあります。直すか、testing に戻してください。", bad.Date)
	case p.Now == "enforce":
		p.Why = say("Nothing is stricter. Nothing has failed lately.", "これより厳しい設定はありません。最近の失敗はありません。")
	case p.Now == "none":
		p.Why = say("MTA-STS is off. Set it to testing to try it out: nothing can be lost by that.", "MTA-STS は無効です。testing で試せます。メールが失われることはありません。")
	case failed:
		p.Why = say("%d of %d good days. On %s encryption to you failed, or your certificate or policy could not be had: see the failures.", "問題のない日は %[2]d 日のうち %[1]d 日です。%[3]s に暗号化の失敗、または証明書かポリシーの問題がありました。失敗の一覧を見てください。", o.GoodDays, needSTS(p.Now), bad.Date)
	default:
		p.Why = say("%d of %d good days. Stay at testing until then.", "問題のない日は %[2]d 日のうち %[1]d 日です。それまで testing のままにしてください。", o.GoodDays, needSTS(p.Now))
	}
	return p
}

func say(en, ja string, args ...any) Text {
	return Text{EN: fmt.Sprintf(en, args...), JA: fmt.Sprintf(ja, args...)}
}

// since returns the days after the one on which a policy was set.
func (o Overview) since(set time.Time) []Day {
	if set.IsZero() {
		return o.Days
	}
	from := set.UTC().Format(dateLayout)
	return slices.DeleteFunc(slices.Clone(o.Days), func(d Day) bool { return d.Date <= from })
}

// last returns the newest of the days that are so.
func last(days []Day, is func(Day) bool) (Day, bool) {
	if i := slices.IndexFunc(days, is); i >= 0 {
		return days[i], true
	}
	return Day{}, false
}

// sum adds up the newest days of a run.
func sum(days []Day, most int, of func(Day) (bool, int64)) (total int64) {
	for _, d := range days {
		if ok, n := of(d); ok && most > 0 {
			total += n
			most--
		}
	}
	return total
}

func fresh(d Day, now time.Time) bool {
	return d.Date >= now.Add(-recent).UTC().Format(dateLayout)
}

// milder is the policy before one.
func milder(list []string, policy string) string {
	return list[max(0, slices.Index(list, policy)-1)]
}

// needDMARC and needSTS are the days that package dnsplan asks for.
func needDMARC(policy string) int {
	return need(func(n int) bool { _, ok := dnsplan.ProposeDMARC(policy, n); return ok })
}

func needSTS(mode string) int {
	return need(func(n int) bool { _, ok := dnsplan.ProposeSTS(mode, n); return ok })
}

func need(enough func(int) bool) int {
	for n := range 1000 {
		if enough(n) {
			return n
		}
	}
	return 0
}

// Text says whose a source is.
func (k Kind) Text() Text {
	switch k {
	case Own:
		return Text{EN: "yours: this server or your smarthost", JA: "あなたのもの（このサーバーか送信サービス）"}
	case Mine:
		return Text{EN: "yours: you said so", JA: "あなたのもの（あなたが登録）"}
	case Forwarder:
		return Text{EN: "passed on what you had sent, such as a mailing list", JA: "あなたのメールの転送（メーリングリストなど）"}
	}
	return Text{EN: "a stranger, unless it sends for you, such as a web shop", JA: "他人（ネットショップなど、あなたの代わりに送るサービスでなければ）"}
}

// Remedy says what a failure means and what to do about it.
func (f Failure) Remedy() Text {
	switch f.Type {
	case "starttls-not-supported":
		return say("Encryption was not offered. If it lasts, something between the world and your box takes STARTTLS away: a router, a firewall, or a virus scanner.", "暗号化（STARTTLS）が使えませんでした。続くときは、ルーターやウイルス対策などが途中で取り除いています。")
	case "certificate-host-mismatch":
		return say("The certificate is not for the name in the MX record. See that both are the same: homemail dns DOMAIN.", "証明書の名前が MX レコードの名前と違います。homemail dns ドメイン で同じ名前かを確かめてください。")
	case "certificate-expired":
		return say("The certificate has expired. See why it is not renewed: homemail check.", "証明書の期限が切れています。更新されない理由を homemail check で確かめてください。")
	case "certificate-not-trusted":
		return say("The certificate is not from an authority that others know, as long as the first one has not come. See: homemail check.", "証明書が信頼されていません。最初の証明書がまだ届いていないか、homemail check で確かめてください。")
	case "validation-failure":
		return say("The connection could not be made secure, for a reason that the sender does not tell. If it is rare, nothing is to be done.", "理由のわからない暗号化の失敗です。まれであれば、何もする必要はありません。")
	case "sts-policy-fetch-error":
		return say("The policy could not be fetched: see that port 443 can be reached and mta-sts.DOMAIN leads here: homemail check, homemail dns DOMAIN.", "MTA-STS ポリシーを取得できませんでした。443 番ポートと mta-sts.ドメイン を homemail check と homemail dns で確かめてください。")
	case "sts-policy-invalid":
		return say("The policy was not understood. If another server answers for mta-sts.DOMAIN, let the name lead here.", "MTA-STS ポリシーが正しく読めませんでした。mta-sts.ドメイン が別のサーバーを指していないか確かめてください。")
	case "sts-webpki-invalid":
		return say("The web certificate of mta-sts.DOMAIN is not good. See: homemail check.", "mta-sts.ドメイン の証明書に問題があります。homemail check で確かめてください。")
	case "tlsa-invalid":
		return say("The TLSA record does not fit the certificate. See: homemail dns DOMAIN.", "TLSA レコードが証明書と合っていません。homemail dns ドメイン で確かめてください。")
	case "dnssec-invalid":
		return say("The signatures of your zone are not good: ask who hosts your DNS, or take the TLSA record away.", "DNSSEC の署名に問題があります。DNS の事業者に確かめるか、TLSA レコードを外してください。")
	case "dane-required":
		return say("The sender takes only servers with a TLSA record. Nothing is to be done, unless your zone is signed.", "送信側が TLSA レコードを求めています。ゾーンに署名がなければ、何もする必要はありません。")
	}
	return say("The sender does not say why.", "理由は報告されていません。")
}
