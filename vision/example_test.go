package vision_test

import (
	"fmt"
	"log"
	"os"

	"facet/fixtures"
	"facet/vision"
)

// A page becomes the patches of at most 280 soft tokens.
func Example() {
	data, err := os.ReadFile(fixtures.Path("golden/media/page.png"))
	if err != nil {
		log.Fatal(err)
	}
	img, err := vision.Decode(data, vision.DecodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	spec := vision.Spec{PatchSize: 16, PoolingKernelSize: 3}
	patches, seen, err := vision.Prepare(img, spec, 280)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s of %d × %d pixels, seen at %d × %d\n", img.Format, img.Width, img.Height, seen.Width, seen.Height)
	fmt.Printf("%d × %d patches, %d soft tokens\n", patches.Columns, patches.Rows, spec.SoftTokens(seen.Width, seen.Height))
	// Output:
	// image/png of 640 × 480 pixels, seen at 912 × 672
	// 57 × 42 patches, 266 soft tokens
}
