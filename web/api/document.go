package api

import (
	"encoding/json"
	"strings"

	"homemail/admin"
)

const intro = `All that an owner can do with a homemail, for programs: one operation a path, asked for by POST with JSON in and out.

Make a token on the computer that homemail runs on: ` + "`homemail token add NAME -scope SCOPE`" + `. Send it with each request as ` + "`Authorization: Bearer hm_...`" + `.
The API is answered over HTTPS only, and without another setting to the home network only. A field that is not known is refused.

What was not done is answered with a status of 4xx or 5xx and a Failed. Its error is for people; its code is one of these:

`

// Document is the OpenAPI 3.1 document of what an API answers.
func Document() ([]byte, error) {
	s := newSchemas()
	var err error
	if s.about, err = readAbout(); err != nil {
		return nil, err
	}
	if err := s.all(); err != nil {
		return nil, err
	}
	paths := object{
		documentPath: object{"get": document()},
		metricsPath:  object{"get": figures()},
	}
	for _, op := range operations() {
		if op.Scope == admin.ScopeNone {
			continue
		}
		p, err := s.path(op)
		if err != nil {
			return nil, err
		}
		paths[version+op.Name] = object{"post": p}
	}
	text := intro
	for _, f := range failures() {
		text += "- " + f.code + ": " + f.about + "\n"
	}
	b, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "homemail", "version": "1", "description": text,
		},
		"servers": []any{object{"url": "/", "description": "the house that this document comes from"}},
		"paths":   paths,
		"components": object{
			"schemas":   s.made,
			"responses": object{"Failed": object{"description": "It was not done.", "content": content(object{"$ref": "#/components/schemas/Failed"})}},
			"securitySchemes": object{"token": object{
				"type": "http", "scheme": "bearer", "bearerFormat": "hm_ and 43 characters",
				"description": "A token has one or more of these scopes: read (all that changes nothing), metrics, people, mail, names, settings, all.",
			}},
		},
	}, "", " ")
	return append(b, '\n'), err
}

func content(schema object) object { return object{"application/json": object{"schema": schema}} }

func answers(ok object) object {
	failed := object{"$ref": "#/components/responses/Failed"}
	return object{"200": ok, "4XX": failed, "5XX": failed}
}

// security names each scope that will do: any one of them.
func security(scopes ...admin.Scope) (list []any) {
	for _, s := range scopes {
		list = append(list, object{"token": []admin.Scope{s}})
	}
	return list
}

func (s *schemas) path(op admin.Operation) (object, error) {
	request, err := s.of(op.Request)
	if err != nil {
		return nil, err
	}
	answer, err := s.of(op.Answer)
	if err != nil {
		return nil, err
	}
	scopes := []admin.Scope{op.Scope, admin.ScopeAll}
	if op.Scope == admin.ScopeAll {
		scopes = scopes[1:]
	}
	if !op.Changes {
		scopes = append(scopes, admin.ScopeRead)
	}
	summary, _, _ := strings.Cut(op.About, ". ")
	out := object{
		"operationId": operationID(op.Name),
		"summary":     strings.TrimSuffix(summary, "."),
		"description": op.About,
		"tags":        []string{string(op.Scope)},
		"security":    security(scopes...),
		"responses":   answers(object{"description": "It was done.", "content": content(answer)}),
	}
	if len(fields(op.Request)) > 0 {
		out["requestBody"] = object{"required": true, "content": content(request)}
	}
	return out, nil
}

// operationID is a name that programs can have as a function's: queueRetryDomain.
func operationID(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' })
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

func document() object {
	return object{
		"operationId": "openapi", "summary": "This document", "tags": []string{"about"},
		"security":  []any{},
		"responses": answers(object{"description": "The document.", "content": content(object{"type": "object"})}),
	}
}

func figures() object {
	return object{
		"operationId": "metrics", "summary": "The figures of the server, for Prometheus", "tags": []string{"about"},
		"security":  security(admin.ScopeMetrics, admin.ScopeRead, admin.ScopeAll),
		"responses": answers(object{"description": "The figures in Prometheus' text format.", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}),
	}
}
