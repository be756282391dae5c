package firstboot

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keys are all keys that the code can say.
func keys(t *testing.T) (list []string) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`"(firstboot\.[a-z0-9.-]*[a-z0-9])"`)
	menu := regexp.MustCompile(`"(menu\.[a-z]+)"`)
	for _, name := range append(files, "../cmd/homemail/setupmenu.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range menu.FindAllSubmatch(b, -1) {
			list = append(list, "firstboot."+string(m[1]))
		}
		for _, m := range key.FindAllSubmatch(b, -1) {
			list = append(list, string(m[1]))
		}
	}
	list = append(list, "firstboot.menu.devices")
	for _, s := range []Status{Todo, Doing, Done, Waiting, Skipped, Failed} {
		list = append(list, "firstboot.status."+string(s))
	}
	for _, s := range steps() {
		list = append(list, "firstboot.step."+string(s.ID))
		for _, f := range s.Fields {
			list = append(list, "firstboot.field."+string(s.ID)+"."+strings.TrimSuffix(f.Name, "."))
			if f.Name == "preset" || f.Name == "fetch_preset" || f.Name == "provider" {
				continue // have names of their own
			}
			for _, c := range f.Choices {
				list = append(list, "firstboot.choice."+string(s.ID)+"."+f.Name+"."+c)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestWords: every key is in both catalogues, none is there for nothing, and both
// have the same places.
func TestWords(t *testing.T) {
	places := regexp.MustCompile(`\{[a-z]+\}`)
	en, ja, want := catalogue("en"), catalogue("ja"), keys(t)
	for _, k := range want {
		a, b := places.FindAllString(en[k], -1), places.FindAllString(ja[k], -1)
		slices.Sort(a)
		slices.Sort(b)
		if en[k] == "" || ja[k] == "" || !slices.Equal(slices.Compact(a), slices.Compact(b)) {
			t.Errorf("%s: %q, %q", k, en[k], ja[k])
		}
	}
	for _, k := range append(sorted(en), sorted(ja)...) {
		if !slices.Contains(want, k) {
			t.Errorf("nobody says %s", k)
		}
	}
	if got := Words("ja", Say("firstboot.do.host", "host", "mail.example.jp")); !strings.Contains(got, "mail.example.jp") || strings.Contains(got, "{") {
		t.Error(got)
	}
}
