package firstboot

import (
	"embed"
	"encoding/json"
	"io/fs"
	"strings"
)

//go:embed ui/*.json
var ui embed.FS

// UI has the catalogues of words: en.json and ja.json, with the same keys.
func UI() fs.FS {
	sub, err := fs.Sub(ui, "ui")
	if err != nil {
		panic(err) // the name is right
	}
	return sub
}

// Words are those of a Word in a language, English if there are none in it. The
// terminal has no other catalogue; pages use theirs, into which UI is merged.
func Words(lang string, w Word) string {
	if w.IsZero() {
		return ""
	}
	text, ok := catalogue(lang)[w.Key]
	if !ok {
		if text, ok = catalogue("en")[w.Key]; !ok {
			return w.Key
		}
	}
	var pairs []string
	for i := 0; i+1 < len(w.Args); i += 2 {
		pairs = append(pairs, "{"+w.Args[i]+"}", w.Args[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// catalogue is read each time: a terminal shows few words, and a server none.
func catalogue(lang string) map[string]string {
	if lang != "ja" {
		lang = "en"
	}
	all := map[string]string{}
	b, err := fs.ReadFile(UI(), lang+".json")
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		panic(err) // a test reads them
	}
	return all
}
