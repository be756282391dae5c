package certs

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// explain says in one sentence, or two, why an order failed and what to do.
func (k *keeper) explain(err error, name, way string) Text {
	var p acme.Problem
	var provider providerError
	var r *Reason
	switch {
	case errors.As(err, &provider):
		return sentences(both("The DNS host did not take the record for the check of %s: see whether its token is right and may change that domain. It said: %v",
			"DNSサービスが %s の確認用レコードを受け付けませんでした。トークンが正しいこと、このドメインを変更する権限があることを確認してください。サービスからの応答: %v", name, provider.error))
	case errors.As(err, &p):
		return k.explainProblem(p, name, way)
	case certificateError(err):
		return both("What answers as %s has no certificate that can be trusted: the clock here is wrong, or something in between answers in its place.",
			"%s として応答した相手の証明書を信頼できません。この機器の時計がずれているか、途中で別のものが代わりに応答しています。", k.caName())
	case errors.Is(err, errAway), errors.As(err, new(net.Error)):
		return both("%s cannot be reached just now. Nothing for you to do: we try again.",
			"現在 %s に接続できません。自動で再試行しますので、そのままお待ちください。", k.caName())
	case errors.As(err, &r):
		return sentences(r.Text)
	case errors.Is(err, errUnseen):
		return both("The record _acme-challenge.%s was given to the DNS host, but its servers did not show it in time. Nothing for you to do, unless it goes on: then see whether the domain is really at that DNS host.",
			"レコード _acme-challenge.%s をDNSサービスに登録しましたが、時間内に反映されませんでした。通常はそのままお待ちください。続くようであれば、ドメインが本当にそのDNSサービスで管理されているか確認してください。", name)
	}
	return sentences(both("no certificate could be got: %v", "証明書を取得できませんでした: %v", err))
}

func certificateError(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError))
}

// explainProblem goes by the types of RFC 8555 §6.7.
func (k *keeper) explainProblem(p acme.Problem, name, way string) Text {
	if len(p.Subproblems) > 0 && kind(p) == "compound" {
		return k.explainProblem(p.Subproblems[0].Problem, name, way)
	}
	port := map[string]string{acme.ChallengeTypeHTTP01: "80", acme.ChallengeTypeTLSALPN01: "443"}[way]
	switch what := kind(p); {
	case what == "caa":
		return both("A CAA record of the domain forbids %s to give a certificate for %s: name this CA in it, or take it away.",
			"ドメインのCAAレコードにより、%s は %s の証明書を発行できません。CAAレコードにこの認証局を追加するか、CAAレコードを削除してください。", k.caName(), name)
	case port != "" && (what == "connection" || what == "tls" || strings.Contains(strings.ToLower(p.Detail), "failed to connect")):
		return both("The CA could not connect to port %s of %s: open it on the router, and see whether the A and AAAA records are the address of this house.",
			"認証局から %[2]s のポート%[1]sに接続できませんでした。ルーターでこのポートを開放し、AレコードとAAAAレコードがこの家のアドレスになっているか確認してください。", port, name)
	case what == "dns", what == "connection":
		return sentences(both("the CA found nothing usable in the DNS for %s, so see to its A and AAAA records and the domain's name servers: %s",
			"認証局は %s の有効なDNSレコードを見つけられませんでした。AレコードとAAAAレコード、ドメインのネームサーバーを確認してください: %s", name, p.Detail))
	case (what == "unauthorized" || what == "incorrectResponse" || what == "tls") && port != "":
		return both("Something else answers on port %s of %s: the A or AAAA record, or the router's forwarding, leads to another machine.",
			"%[2]s のポート%[1]sでは別の機器が応答しています。AレコードやAAAAレコード、またはルーターのポート転送が別の機器を指しています。", port, name)
	case what == "unauthorized" || what == "incorrectResponse":
		return sentences(both("the CA refused, or did not find the record _acme-challenge.%s where it looked: %s",
			"認証局が拒否したか、レコード _acme-challenge.%s が見つかりませんでした: %s", name, p.Detail))
	case what == "rateLimited":
		if until := retryAfter(p, time.Now()); !until.IsZero() {
			return both("The CA gives no more certificates for this domain until %s. Nothing for you to do but wait.",
				"認証局の発行数の上限に達したため、このドメインの証明書は %s まで発行されません。それまでお待ちください。", clockTime(until))
		}
		return Text{"The CA gives no more certificates for this domain for some time. Nothing for you to do but wait.",
			"認証局の発行数の上限に達したため、このドメインの証明書はしばらく発行されません。そのままお待ちください。"}
	case what == "rejectedIdentifier", what == "unsupportedIdentifier":
		return sentences(both("the CA gives no certificate for %s: %s", "認証局は %s の証明書を発行しません: %s", name, p.Detail))
	case what == "externalAccountRequired":
		return Text{"This CA serves only those who have an account with it already: choose another CA.",
			"この認証局を利用するには、事前にアカウントが必要です。別の認証局を選んでください。"}
	case what == "userActionRequired":
		return sentences(both("the CA wants you to agree to something first, see %s", "認証局が先に同意を求めています。次のページを確認してください: %s", p.Instance))
	case what == "invalidContact", what == "unsupportedContact":
		return sentences(both("the CA does not take the mail address that is in the settings for it: %s", "認証局は、設定された連絡先のメールアドレスを受け付けません: %s", p.Detail))
	case what == "serverInternal", what == "badNonce", p.Status >= 500:
		return both("%s is out of order just now. Nothing for you to do: we try again.",
			"現在 %s に障害が起きています。自動で再試行しますので、そのままお待ちください。", k.caName())
	}
	return sentences(both("the CA refused: %s", "認証局に拒否されました: %s", p.Detail))
}

// kind is a problem's type without its namespace.
func kind(p acme.Problem) string { return strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace) }

const untilWords = "retry after "

// retryAfter is when the CA will take an order again, at most a week from now.
// Its problem says so in words, as Let's Encrypt has them: "retry after
// 2026-05-01 12:00:00 UTC". It is zero if there is nothing of the kind.
func retryAfter(err error, now time.Time) time.Time {
	var p acme.Problem
	if !errors.As(err, &p) || kind(p) != "rateLimited" {
		return time.Time{}
	}
	_, text, found := strings.Cut(strings.ToLower(p.Detail), untilWords)
	if !found {
		return time.Time{}
	}
	text = strings.ToUpper(text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if len(text) < len(layout) {
			continue
		}
		if t, err := time.Parse(layout, text[:len(layout)]); err == nil && t.After(now) {
			return now.Add(min(t.Sub(now), week))
		}
	}
	return time.Time{}
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
