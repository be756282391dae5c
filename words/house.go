package words

import (
	"embed"
	"io/fs"
	"sync"
)

//go:embed text
var text embed.FS

// Source has the catalogues of the house: a directory for each part of it, with
// en.json and ja.json. Their keys begin with the name of the directory.
func Source() []fs.FS {
	dirs, err := fs.ReadDir(text, "text")
	if err != nil {
		panic(err) // it is built in
	}
	var list []fs.FS
	for _, d := range dirs {
		sub, err := fs.Sub(text, "text/"+d.Name())
		if err != nil {
			panic(err)
		}
		list = append(list, sub)
	}
	return list
}

// House is the catalogue of the house, read when it is first asked for.
func House() *Catalogue { return house() }

var house = sync.OnceValue(func() *Catalogue {
	c, err := Load(Source()...)
	if err != nil {
		panic(err) // a test reads them
	}
	return c
})
