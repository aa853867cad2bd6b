console.log("layerwise");
