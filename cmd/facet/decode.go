package main

import (
	"os"

	"facet/vision/pdf/pdfium"
)

// decodeCommand makes this program the decoder of one PDF document. Package vision/pdf starts it.
type decodeCommand struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

func (c *decodeCommand) Run() error {
	os.Exit(pdfium.Main(c.Args, os.Stdin, os.Stdout, os.Stderr)) // the descriptors, whatever stands for them in tests
	return nil
}
