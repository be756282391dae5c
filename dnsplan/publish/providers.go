package publish

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"homemail/dnsplan"
)

// A Credential is one thing that a provider wants to know of whom it serves.
type Credential struct {
	Name     string // key in the map that Open takes
	Label    dnsplan.Text
	Secret   bool // not to be shown again
	Optional bool
}

// A ProviderInfo describes a provider to people.
type ProviderInfo struct {
	ID          string // as in dnsplan.DNSHost.Provider
	Name        string
	Credentials []Credential
	Where       dnsplan.Text // where to get them, and with which rights
	URL         string       // of that page; "" for none
}

// providers is the table of providers and how each is opened.
var providers = []struct {
	ProviderInfo
	open func(credentials map[string]string, client *http.Client) (Provider, error)
}{
	{ProviderInfo{ID: "cloudflare", Name: "Cloudflare", Credentials: []Credential{token}, URL: "https://dash.cloudflare.com/profile/api-tokens", Where: dnsplan.Text{
		EN: "My Profile > API Tokens > Create Token, with the template “Edit zone DNS”, for your zone only. Not the Global API Key.",
		JA: "「マイ プロフィール」>「API トークン」>「トークンを作成する」で、テンプレート「ゾーン DNS を編集する」を選び、対象をこのゾーンだけにします。Global API Key は使いません。",
	}}, newCloudflare},
	{ProviderInfo{ID: "desec", Name: "deSEC", Credentials: []Credential{token}, URL: "https://desec.io/tokens", Where: dnsplan.Text{
		EN: "Token Management > Create new token. It needs no permission beyond the standard ones.",
		JA: "「Token Management」で新しいトークンを作成します。追加の権限は要りません。",
	}}, newDesec},
	{ProviderInfo{ID: "route53", Name: "Amazon Route 53", URL: "https://console.aws.amazon.com/iam/", Credentials: []Credential{
		{Name: "access_key_id", Label: dnsplan.Text{EN: "Access key ID", JA: "アクセスキー ID"}},
		{Name: "secret_access_key", Label: dnsplan.Text{EN: "Secret access key", JA: "シークレットアクセスキー"}, Secret: true},
	}, Where: dnsplan.Text{
		EN: "IAM > Users > Security credentials > Create access key, of a user that may do only route53:ListHostedZonesByName, and route53:ListResourceRecordSets and route53:ChangeResourceRecordSets in your zone.",
		JA: "IAM の「ユーザー」>「セキュリティ認証情報」>「アクセスキーを作成」。ユーザーには route53:ListHostedZonesByName と、このゾーンの route53:ListResourceRecordSets、route53:ChangeResourceRecordSets だけを許可します。",
	}}, newRoute53},
	{ProviderInfo{ID: "gandi", Name: "Gandi", Credentials: []Credential{token}, URL: "https://admin.gandi.net/organizations/account/pat", Where: dnsplan.Text{
		EN: "Account settings > Personal Access Token, with the right “Manage domain name technical configurations”, for your domain only.",
		JA: "アカウント設定の「Personal Access Token」で、権限「Manage domain name technical configurations」を選び、対象をこのドメインだけにします。",
	}}, newGandi},
	{ProviderInfo{ID: "porkbun", Name: "Porkbun", URL: "https://porkbun.com/account/api", Credentials: []Credential{
		{Name: "api_key", Label: dnsplan.Text{EN: "API key (pk1_…)", JA: "API キー (pk1_…)"}},
		{Name: "secret_key", Label: dnsplan.Text{EN: "Secret key (sk1_…)", JA: "シークレットキー (sk1_…)"}, Secret: true},
	}, Where: dnsplan.Text{
		EN: "Account > API Access > Create API Key. Then switch on “API Access” in the details of your domain.",
		JA: "「Account」>「API Access」でキーを作成し、ドメインの詳細で「API Access」をオンにします。",
	}}, newPorkbun},
	{ProviderInfo{ID: "hetzner", Name: "Hetzner", Credentials: []Credential{token}, URL: "https://console.hetzner.com/", Where: dnsplan.Text{
		EN: "In the project that holds your DNS zone: Security > API tokens > Generate, with “Read & Write”. A token of the older DNS Console does not work: move the zone to the new console first.",
		JA: "DNS ゾーンのあるプロジェクトの「Security」>「API tokens」で、「Read & Write」のトークンを作成します。旧 DNS Console のトークンは使えません。先にゾーンを新しいコンソールへ移してください。",
	}}, newHetzner},
	{ProviderInfo{ID: "ovh", Name: "OVHcloud", URL: "https://api.ovh.com/createToken/", Credentials: []Credential{
		{Name: "endpoint", Label: dnsplan.Text{EN: "Region (ovh-eu, ovh-ca or ovh-us)", JA: "地域 (ovh-eu、ovh-ca、ovh-us)"}, Optional: true},
		{Name: "application_key", Label: dnsplan.Text{EN: "Application key", JA: "アプリケーションキー"}},
		{Name: "application_secret", Label: dnsplan.Text{EN: "Application secret", JA: "アプリケーションシークレット"}, Secret: true},
		{Name: "consumer_key", Label: dnsplan.Text{EN: "Consumer key", JA: "コンシューマーキー"}, Secret: true},
	}, Where: dnsplan.Text{
		EN: "Create a token with validity “Unlimited” and the rights GET, POST, PUT and DELETE on /domain/zone/YOUR-DOMAIN/*.",
		JA: "有効期間「Unlimited」で、/domain/zone/ドメイン名/* への GET、POST、PUT、DELETE を許可するトークンを作成します。",
	}}, newOVH},
	{ProviderInfo{ID: "digitalocean", Name: "DigitalOcean", Credentials: []Credential{token}, URL: "https://cloud.digitalocean.com/account/api/tokens", Where: dnsplan.Text{
		EN: "API > Tokens > Generate New Token, with the custom scope “domain” (create, read, update, delete).",
		JA: "「API」>「Tokens」で新しいトークンを作成し、「Custom Scopes」の「domain」(create、read、update、delete) を選びます。",
	}}, newDigitalOcean},
	{ProviderInfo{ID: "rfc2136", Name: "RFC 2136 (BIND, Knot, PowerDNS)", Credentials: []Credential{
		{Name: "server", Label: dnsplan.Text{EN: "Name server, with port if it is not 53", JA: "ネームサーバー (53 番以外ならポートも)"}},
		{Name: "key_name", Label: dnsplan.Text{EN: "Name of the TSIG key", JA: "TSIG 鍵の名前"}},
		{Name: "key", Label: dnsplan.Text{EN: "TSIG key, in base64", JA: "TSIG 鍵 (base64)"}, Secret: true},
		{Name: "algorithm", Label: dnsplan.Text{EN: "Algorithm (hmac-sha256)", JA: "アルゴリズム (hmac-sha256)"}, Optional: true},
	}, Where: dnsplan.Text{
		EN: "On your own name server: allow this key dynamic updates and transfer (AXFR) of the zone.",
		JA: "自分のネームサーバーで、この鍵にゾーンの動的更新と転送 (AXFR) を許可します。",
	}}, newUpdate},
}

var token = Credential{Name: "token", Label: dnsplan.Text{EN: "API token", JA: "API トークン"}, Secret: true}

// Providers are those that Open knows.
func Providers() []ProviderInfo {
	out := make([]ProviderInfo, len(providers))
	for i, p := range providers {
		out[i] = p.ProviderInfo
	}
	return out
}

// Errors of Open.
var (
	ErrProvider    = errors.New("no such DNS provider is known")
	ErrCredentials = errors.New("the credentials are not complete")
)

// Open returns a provider with somebody's credentials. It asks nothing yet. A
// nil client is one of its own; redirects are never followed, as the
// credentials would go along.
func Open(id string, credentials map[string]string, client *http.Client) (Provider, error) {
	for _, p := range providers {
		if p.ID != id {
			continue
		}
		given := map[string]string{}
		for _, c := range p.Credentials {
			v := strings.TrimSpace(credentials[c.Name])
			if v == "" && !c.Optional {
				return nil, fmt.Errorf("%w: %s wants %q", ErrCredentials, p.Name, c.Name)
			}
			if strings.ContainsAny(v, "\r\n\x00") {
				return nil, fmt.Errorf("%w: %q has more than one line", ErrCredentials, c.Name)
			}
			given[c.Name] = v
		}
		own := http.Client{}
		if client != nil {
			own = *client
		}
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return p.open(given, &own)
	}
	return nil, fmt.Errorf("%w: %q", ErrProvider, id)
}
