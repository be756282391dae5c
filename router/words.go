package router

import "strings"

// A Text is what to tell people, in the languages that we have.
type Text struct {
	EN string `json:"en"`
	JA string `json:"ja"`
}

// A Code says what became of a port, or of all.
type Code string

// The codes.
const (
	NotAsked    Code = "not-asked"
	NothingToDo Code = "nothing" // there are no ports
	NoGateway   Code = "no-gateway"
	Public      Code = "public" // there is no router between us and the world
	Mapped      Code = "mapped"
	Open        Code = "open"     // the router has no firewall that would stop it
	Silent      Code = "silent"   // speaks nothing that we do
	Refused     Code = "refused"  // it may not, or has forbidden it
	Conflict    Code = "conflict" // another machine has the port
	Moved       Code = "moved"    // only another outer port can be had: MAP-E
	Offline     Code = "offline"  // the router itself has no connection
	Full        Code = "full"
	Odd         Code = "odd" // an answer that says nothing
)

// severity tells which code speaks for several ports.
var severity = map[Code]int{Mapped: 0, Open: 0, Odd: 1, Full: 2, Offline: 3, Refused: 4, Conflict: 5, Moved: 6, Silent: 7, NotAsked: 8}

var words = map[Code]Text{
	NotAsked:    {"The router is not being asked.", "ルーターへの確認は行っていません。"},
	NothingToDo: {"There is no port for the router to open.", "開放が必要なポートはありません。"},
	NoGateway: {"No router was found. Check the network cable.",
		"ルーターが見つかりません。LANケーブルをご確認ください。"},
	Public: {"This machine has a public address of its own; no router has to open anything.",
		"この機器は専用のグローバルアドレスを持つため、ルーターの設定は不要です。"},
	Mapped: {"The router lets this port through to this box.", "ルーターがこのポートをこの機器へ通しています。"},
	Open:   {"The router does not block this port.", "ルーターはこのポートを遮断していません。"},
	Silent: {"The router does not speak a language for opening ports (PCP, NAT-PMP, UPnP). Turn on UPnP in the router, or open the ports by hand.",
		"ルーターが自動のポート開放 (PCP、NAT-PMP、UPnP) に応答しません。ルーターのUPnPを有効にするか、手動でポート開放を設定してください。"},
	Refused: {"The router refuses to open this port. Allow it in the router (UPnP, also for ports below 1024), or open the port by hand.",
		"ルーターがこのポートの開放を拒否しました。ルーターでUPnP (1024番未満を含む) を許可するか、手動でポート開放を設定してください。"},
	Conflict: {"Another machine in the house already has this port at the router. Remove that rule in the router.",
		"このポートは家の中の別の機器がすでに使っています。ルーターでその設定を削除してください。"},
	Moved: {"The router can only give another port than this one. Your line probably shares its IPv4 address with other houses (MAP-E), and mail cannot come in directly.",
		"ルーターは別の番号のポートしか割り当てられません。IPv4アドレスを他のお宅と共有する回線 (MAP-E) と思われ、メールを直接は受信できません。"},
	Offline: {"The router says that it has no connection to the Internet. It is asked again by itself.",
		"ルーターがインターネットに接続されていません。自動で再確認しますので、そのままお待ちください。"},
	Full: {"The router has no room for more open ports. Remove rules that nobody needs in the router.",
		"ルーターのポート開放の登録数が上限に達しています。ルーターで不要な設定を削除してください。"},
	Odd: {"The router's answer could not be understood. It is asked again by itself.",
		"ルーターの応答を理解できませんでした。自動で再確認しますので、そのままお待ちください。"},
}

// A refusal is a router's answer that is not what was asked for.
type refusal struct {
	code   Code
	detail string
}

func (e *refusal) Error() string { return string(e.code) + ": " + e.detail }

// printable keeps what can stand anywhere: in a log, on a page, in XML.
func printable(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, s)
	return s[:min(len(s), most)]
}
