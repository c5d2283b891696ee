package still

import (
	"encoding/json"

	"facet/internal/child"
	"facet/vision"
)

// What the two sides say to each other, in messages of package internal/child:
//
//	request                 answers before done
//	open, piece…, done      info     another file takes the place of the one before
//	page                    page, rows…     the pixels from left to right and from top to bottom, cut anywhere
//
// The version changes with anything here. Both sides are one program, so another version is a program that was replaced
// while it ran.
const protocolVersion = 1

const (
	kindPiece child.Kind = 'b' // of the file
	kindInfo  child.Kind = 'i' // JSON: info
	kindPage  child.Kind = 'g' // JSON: pageInfo
	kindRows  child.Kind = 'r' // 3 bytes a pixel: red, green, blue
)

const (
	// pieceSize is the most bytes of a piece of a file.
	pieceSize = 256 << 10
	// rowsSize is the most bytes of a message of pixels.
	rowsSize = 1 << 20
)

func most(k child.Kind) (int64, bool) {
	switch k {
	case kindInfo, kindPage, child.KindRequest:
		return child.MaxText, true
	case kindPiece:
		return pieceSize, true
	case kindRows:
		return rowsSize, true
	}
	return 0, false
}

type hello struct {
	Version int             `json:"version"`
	Sandbox json.RawMessage `json:"sandbox"`
}

type request struct {
	Op      string               `json:"op"`
	Options vision.DecodeOptions `json:"options,omitzero"` // open
	Size    int64                `json:"size,omitempty"`   // open: about so many bytes follow
	Page    int                  `json:"page,omitempty"`   // page; from 1
}

type info struct {
	Type  string `json:"type"`
	Pages int    `json:"pages"`
}

// pageInfo is a vision.Image but for its pixels.
type pageInfo struct {
	Width        int    `json:"width"`
	Height       int    `json:"height"`
	Format       string `json:"format"`
	StoredWidth  int    `json:"storedWidth"`
	StoredHeight int    `json:"storedHeight"`
	Orientation  int    `json:"orientation"`
	Pages        int    `json:"pages"`
}

// Kinds of a failure.
const (
	failedFormat      = "format"
	failedUnsupported = "unsupported"
)
