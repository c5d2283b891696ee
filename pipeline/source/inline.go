package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// splitData parts a data URL (RFC 2397) into type and base64.
func splitData(link string) (mediaType, data string, err error) {
	head, data, found := strings.Cut(link, ",")
	head = head[len("data:"):]
	if !found {
		return "", "", errors.New("data URL without a comma")
	}
	params := strings.Split(strings.ToLower(head), ";")
	if params[len(params)-1] != "base64" {
		return "", "", errors.New("data URL that is not base64")
	}
	if data == "" {
		return "", "", errEmpty
	}
	return params[0], data, nil
}

// dataEndings name files that have no name.
var dataEndings = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/jpg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/bmp": ".bmp",
	"image/tiff": ".tif", "image/heic": ".heic", "image/avif": ".avif", "application/pdf": ".pdf",
	"audio/wav": ".wav", "audio/mp3": ".mp3", "audio/mpeg": ".mp3", "audio/flac": ".flac", "audio/ogg": ".ogg",
	"video/mp4": ".mp4", "video/webm": ".webm",
}

// inlinePath names the file that stands in a line of a manifest, as if that were an archive of its lines.
func inlinePath(manifest string, line int, link string) string {
	mediaType, _, _ := splitData(link) // which was checked
	return fmt.Sprintf("%s/%d%s", manifest, line, dataEndings[mediaType])
}

// splitInline is the inverse of inlinePath, for manifests that are there.
func splitInline(path string) (manifest string, line int, ok bool) {
	manifest, name := filepath.Split(path)
	if manifest == "" || !isLines(manifest[:len(manifest)-1]) {
		return "", 0, false
	}
	manifest = manifest[:len(manifest)-1]
	number, _, _ := strings.Cut(name, ".")
	line, err := strconv.Atoi(number)
	if err != nil || line < 1 {
		return "", 0, false
	}
	info, err := os.Stat(manifest)
	return manifest, line, err == nil && info.Mode().IsRegular()
}

// inlineAt finds out how to get at a file in a line of a manifest; nil if path is none.
func inlineAt(path string) func(context.Context, io.Writer) error {
	manifest, line, ok := splitInline(path)
	if !ok {
		return nil
	}
	return func(ctx context.Context, to io.Writer) error { return writeInline(ctx, manifest, line, -1, to) }
}

// writeInline writes the file that stands in a line of a manifest, which begins at an offset, or anywhere if that is
// negative.
func writeInline(ctx context.Context, manifest string, line int, offset int64, to io.Writer) error {
	f, err := openRegular(manifest)
	if err != nil {
		return err
	}
	defer f.Close()
	skip := line - 1
	if offset >= 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return bare(err)
		}
		skip = 0
	}
	in := newLines(f)
	for {
		l, ok := in.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !ok:
			return errors.New("the manifest has no such line")
		case skip > 0:
			skip--
			continue
		}
		p, err := l.parse()
		if err == nil && p.data == "" {
			err = errors.New("the line of the manifest holds no file")
		}
		if err != nil {
			return err
		}
		return writeData(ctx, p.data, to)
	}
}

// writeData writes what stands in a data URL.
func writeData(ctx context.Context, link string, to io.Writer) error {
	_, data, err := splitData(link)
	if err != nil {
		return err
	}
	encoding := base64.StdEncoding
	if !strings.HasSuffix(data, "=") && len(data)%4 != 0 {
		encoding = base64.RawStdEncoding
	}
	_, err = copyAll(ctx, to, base64.NewDecoder(encoding, strings.NewReader(data)))
	if err != nil && ctx.Err() == nil {
		return errors.New("not base64")
	}
	return err
}
