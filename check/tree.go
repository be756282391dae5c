package check

import "time"

// How old results may become at rest. The DNS is asked some 40 questions for
// all checks together.
const (
	often   = 5 * time.Minute // asks nobody outside
	hourly  = time.Hour
	sixth   = 6 * time.Hour // strangers' lists
	daily   = 24 * time.Hour
	sourced = 55 * time.Minute // is ready before those that are hourly use it
)

// The names that other code speaks of.
const (
	route, dns, dnsTrue, dnssec              = "route", "dns", "dns-true", "dnssec"
	prober, router, address4, address6, nat  = "probe", "router", "address4", "address6", "nat"
	out25, out465, out587, out993            = "out25", "out465", "out587", "out993"
	in25, in80, in443, in465, in993          = "in25", "in80", "in443", "in465", "in993"
	ptr, helo, blocklist, domain             = "ptr", "helo", "blocklist", "domain"
	clock, disk, certificate, queue, hairpin = "clock", "disk", "certificate", "queue", "hairpin"
)

// steps is the tree, each check after those that it depends on.
var steps = []step{
	{route, nil, nil, 2 * time.Second, often, (*Checker).route, Text{"Is the house connected?", "インターネットへの接続"}},
	{dns, []string{route}, nil, 10 * time.Second, hourly, (*Checker).dns, Text{"Are names found?", "名前の検索 (DNS)"}},
	{dnsTrue, []string{dns}, nil, 8 * time.Second, sixth, (*Checker).dnsTrue, Text{"Does the DNS tell the truth?", "DNSの応答の正しさ"}},
	{dnssec, []string{dns}, nil, 8 * time.Second, sixth, (*Checker).dnssec, Text{"Are signatures of names checked?", "DNSSECの検証"}},
	{router, []string{route}, nil, 10 * time.Second, hourly - 10*time.Minute, (*Checker).router, Text{"Does the router answer?", "ルーターの応答"}},
	{prober, []string{dns}, nil, 20 * time.Second, sourced, (*Checker).prober, Text{"Is there a look from outside?", "外からの確認"}},
	{address4, []string{route}, []string{router, prober}, 2 * time.Second, hourly, (*Checker).address4, Text{"Public address (IPv4)", "グローバルIPv4アドレス"}},
	{address6, []string{route}, []string{prober}, 2 * time.Second, hourly, (*Checker).address6, Text{"Public address (IPv6)", "グローバルIPv6アドレス"}},
	{nat, []string{route}, []string{router, prober, address4}, 2 * time.Second, hourly, (*Checker).nat, Text{"Is the address your own?", "専用アドレスかどうか"}},
	{out25, []string{dns}, nil, 16 * time.Second, hourly, out(25), Text{"Can you send to every mail server?", "直接送信 (25番、OP25B)"}},
	{out465, []string{dns}, nil, 16 * time.Second, sixth, out(465), Text{"Can you send through a provider? (465)", "中継サーバーでの送信 (465番)"}},
	{out587, []string{dns}, nil, 16 * time.Second, sixth, out(587), Text{"Can you send through a provider? (587)", "中継サーバーでの送信 (587番)"}},
	{out993, []string{dns}, nil, 16 * time.Second, sixth, out(993), Text{"Can you fetch from another mailbox?", "ほかの受信箱からの取り込み (993番)"}},
	{in25, []string{prober}, nil, time.Second, hourly, in(25), Text{"Can others send you mail?", "メールの受信 (25番)"}},
	{in80, []string{prober}, nil, time.Second, hourly, in(80), Text{"Can a certificate be had? (80)", "証明書の取得 (80番)"}},
	{in443, []string{prober}, nil, time.Second, hourly, in(443), Text{"Are your web pages reached? (443)", "Webページ (443番)"}},
	{in465, []string{prober}, nil, time.Second, hourly, in(465), Text{"Can your phone send from outside?", "外出先からの送信 (465番)"}},
	{in993, []string{prober}, nil, time.Second, hourly, in(993), Text{"Can your phone read mail outside?", "外出先での受信 (993番)"}},
	{ptr, []string{dns, address4}, []string{nat, address6}, 12 * time.Second, sixth, (*Checker).ptr, Text{"Reverse name of your address", "逆引き (PTR)"}},
	{helo, []string{ptr}, []string{address4}, 6 * time.Second, sixth, (*Checker).helo, Text{"Does the server call itself by that name?", "サーバー名と逆引きの一致 (HELO)"}},
	{blocklist, []string{dnsTrue, address4}, []string{address6}, 12 * time.Second, sixth, (*Checker).blocklist, Text{"Is your address on a block list?", "ブロックリスト"}},
	{domain, []string{dns}, nil, 20 * time.Second, daily, (*Checker).domain, Text{"Is the domain paid for?", "ドメインの有効期限"}},
	{clock, nil, []string{prober}, time.Second, often, (*Checker).clock, Text{"Is the clock right?", "時計"}},
	{disk, nil, nil, 2 * time.Second, often, (*Checker).disk, Text{"Is there room for mail?", "空き容量"}},
	{certificate, nil, []string{clock}, 2 * time.Second, often, (*Checker).certificate, Text{"Is the certificate valid?", "証明書"}},
	{queue, nil, nil, 5 * time.Second, often, (*Checker).queue, Text{"Does mail get away?", "送信待ちのメール"}},
	{hairpin, []string{address4}, []string{in25, in443, in465, in993}, 10 * time.Second, sixth, (*Checker).hairpin, Text{"Is the public name reached from inside?", "家の中からの公開アドレス (ヘアピンNAT)"}},
}
