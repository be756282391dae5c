package page

import (
	"html"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
	"unicode"

	"homemail/words"
)

// A T is a test. CheckCatalogues and CheckTemplates are for the tests of
// packages with pages.
type T = words.T

// CheckCatalogues holds the words of some packages to our rules: both languages
// have the same keys with the same places, every key that a template or a
// Say("...") names is there, and none is there for nothing. Code holds the Go
// files that name keys; a string that ends with a dot stands for all keys that
// begin like it. It may be nil.
func CheckCatalogues(t T, code fs.FS, sources ...fs.FS) {
	t.Helper()
	all, err := LoadWords(nil, sources...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	checkWords(t, all, code, sources)
}

func checkWords(t T, all *Words, code fs.FS, sources []fs.FS) {
	t.Helper()
	used, named := map[string]bool{}, map[string]bool{}
	for _, source := range sources {
		trees, err := trees(source)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		for name, tree := range trees {
			used[name+".title"] = true
			walk(tree.Root, func(n parse.Node) {
				switch n := n.(type) {
				case *parse.StringNode:
					used[n.Text] = true
				case *parse.CommandNode:
					if key, ok := keyOf(n); ok {
						named[key] = true
					}
				}
			})
		}
	}
	if code != nil {
		if err := keysOfCode(code, used, named); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(named)) {
		if !all.Has(key) {
			t.Errorf("no catalogue has the key %q", key)
		}
	}
	for _, source := range sources {
		words.Check(t, source, func(key string) bool { return isUsed(key, used) })
	}
}

// isUsed reports whether a key is named, as it is or by its beginning, or is the
// help of one that is.
func isUsed(key string, used map[string]bool) bool {
	if used[key] {
		return true
	}
	for i, r := range key {
		if r == '.' && used[key[:i+1]] {
			return true
		}
	}
	base, ok := strings.CutSuffix(key, ".help")
	return ok && isUsed(base, used)
}

// trees parses the templates of a source without knowing their functions.
func trees(source fs.FS) (map[string]*parse.Tree, error) {
	files, err := fs.Glob(source, "*.html")
	if err != nil {
		return nil, err
	}
	set := map[string]*parse.Tree{}
	for _, file := range files {
		b, err := fs.ReadFile(source, file)
		if err != nil {
			return nil, err
		}
		tree := parse.New(strings.TrimSuffix(file, ".html"))
		tree.Mode = parse.SkipFuncCheck
		if _, err := tree.Parse(string(b), "", "", set); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// keyOf is the key that a call in a template names, if it is a plain string.
func keyOf(c *parse.CommandNode) (string, bool) {
	at := map[string]int{
		"t": 1, "badge": 2, "link": 2, "copyable": 1, "qr": 2, "progress": 3,
		"input": 3, "area": 3, "tick": 3, "radio": 3, "selected": 3, "option": 2,
	}
	name, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok || at[name.Ident] == 0 || at[name.Ident] >= len(c.Args) {
		return "", false
	}
	s, ok := c.Args[at[name.Ident]].(*parse.StringNode)
	if !ok {
		return "", false
	}
	return s.Text, true
}

// walk calls f with each node of a tree, in the order of the text.
func walk(n parse.Node, f func(parse.Node)) {
	f(n)
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, f)
		walk(b.List, f)
		if b.ElseList != nil {
			walk(b.ElseList, f)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, one := range n.Nodes {
			walk(one, f)
		}
	case *parse.ActionNode:
		walk(n.Pipe, f)
	case *parse.PipeNode:
		for _, one := range n.Cmds {
			walk(one, f)
		}
	case *parse.CommandNode:
		for _, one := range n.Args {
			walk(one, f)
		}
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, f)
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}

// keysOfCode notes the strings of Go files, and the keys that they say.
func keysOfCode(code fs.FS, used, named map[string]bool) error {
	comment := regexp.MustCompile(`(?m)^\s*//.*$`)
	text := regexp.MustCompile(`(Say\()?"([a-z0-9_.-]+)"`)
	return fs.WalkDir(code, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(code, p)
		if err != nil {
			return err
		}
		for _, m := range text.FindAllStringSubmatch(comment.ReplaceAllString(string(b), ""), -1) {
			used[m[2]] = true
			if m[1] != "" && !strings.HasSuffix(m[2], ".") {
				named[m[2]] = true
			}
		}
		return nil
	})
}

// CheckTemplates holds templates to have no words of their own: all that people
// read comes from the catalogues.
func CheckTemplates(t T, sources ...fs.FS) {
	t.Helper()
	for _, source := range sources {
		trees, err := trees(source)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(trees)) {
			for _, words := range literals(trees[name].Root) {
				t.Errorf("the template %s says %q itself", name, words)
			}
		}
	}
}

const aValue = '\x00' // where a template puts something

// literals returns the words that a template has outside of its tags, and in
// the attributes that people read.
func literals(root parse.Node) (list []string) {
	var b strings.Builder
	walk(root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.TextNode:
			b.Write(n.Text)
		case *parse.ActionNode, *parse.TemplateNode:
			b.WriteRune(aValue)
		}
	})
	text := regexp.MustCompile(`(?s)<!--.*?-->|<!doctype[^>]*>`).ReplaceAllString(b.String(), "")
	if !strings.Contains(text, "<") && strings.Contains(text, `="`) {
		text = "<a " + text + ">" // a template of attributes alone
	}
	tag := regexp.MustCompile(`<(?:[^<>"']|"[^"]*"|'[^']*')*>`)
	read := regexp.MustCompile(`\b(?:alt|title|placeholder|aria-label|aria-description|label|data-label|summary)\s*=\s*("[^"]*"|'[^']*')`)
	words := func(s string) {
		s = html.UnescapeString(strings.Trim(s, `"'`))
		if strings.ContainsFunc(s, unicode.IsLetter) {
			list = append(list, strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == aValue || unicode.IsSpace(r) }), " "))
		}
	}
	for _, one := range tag.Split(text, -1) {
		words(one)
	}
	for _, one := range tag.FindAllString(text, -1) {
		for _, m := range read.FindAllStringSubmatch(one, -1) {
			words(m[1])
		}
	}
	return list
}
