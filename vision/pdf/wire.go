package pdf

import (
	"encoding/json"

	"facet/internal/child"
)

// What the two sides say to each other, in messages of package internal/child:
//
//	request   answers before done
//	open      info
//	page      page
//	render    rows…     the pixels from left to right and from top to bottom, cut anywhere
//	characters characters
//	text      text…     lines, some in each
//
// The version changes with anything here. Both sides are one program, so another version is a program that was replaced
// while it ran.
const protocolVersion = 2

const (
	kindInfo child.Kind = 'i' // JSON: info
	kindPage child.Kind = 'g' // JSON: pageInfo
	kindRows child.Kind = 'r' // 3 bytes a pixel: red, green, blue

	kindCharacters child.Kind = 'c' // JSON: characters
	kindText       child.Kind = 't' // JSON: []Line
)

// maxRows is the most bytes of a message of pixels.
const maxRows = 1 << 20

func most(k child.Kind) (int64, bool) {
	switch k {
	case kindInfo, kindPage, kindCharacters, kindText, child.KindRequest:
		return child.MaxText, true
	case kindRows:
		return maxRows, true
	}
	return 0, false
}

type hello struct {
	Version int             `json:"version"`
	Sandbox json.RawMessage `json:"sandbox"`
}

type request struct {
	Op       string `json:"op"`
	Password string `json:"password,omitempty"` // open
	Page     int    `json:"page,omitempty"`     // all but open; from 1
	Width    int    `json:"width,omitempty"`    // render, in pixels
	Height   int    `json:"height,omitempty"`
}

type info struct {
	Pages int `json:"pages"`
}

type pageInfo struct {
	Width   float64 `json:"width"`
	Height  float64 `json:"height"`
	Picture [2]int  `json:"picture"`
}

type characters struct {
	Characters int `json:"characters"`
}

// Kinds of a failure.
const (
	failedFormat      = "format"
	failedUnsupported = "unsupported"
)
