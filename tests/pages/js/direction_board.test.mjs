import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const spark = await load("direction_board/spark.js")

test("rows stand on each other, share the bin as they share the count, and the highest bin is 1", () => {
  assert.deepEqual(spark.stackedHeights([[1, 12], [3, 4]]), [[0.125, 0.75], [0.5, 1]])
  assert.deepEqual(spark.stackedHeights([[0, 0]]), [[0, 0]])
  const [[spike, rest]] = spark.stackedHeights([[10_000, 100]])
  assert.deepEqual([spike, rest], [1, 0.1])
})

test("an area goes along its upper edge and back along its lower one", () => {
  assert.equal(spark.stepArea([0, 0], [1, 0.5], 10, 20), "M0 0L5 0L5 10L10 10L10 20L5 20L5 20L0 20Z")
  assert.ok(spark.stepArea([0], [0.001], 10, 20, 2).startsWith("M0 18L"), "one image among thousands still shows")
  assert.ok(spark.stepArea([0], [0], 10, 20, 2).startsWith("M0 20L"), "and none shows nothing")
})

test("arrows lead to the neighbour, stop at the edges, and fall onto the last card", () => {
  const at = (key, index) => spark.nextCard(key, index, 8, 3)
  assert.deepEqual(["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"].map(key => at(key, 4)), [5, 3, 7, 1])
  assert.deepEqual([at("ArrowLeft", 0), at("ArrowRight", 7), at("ArrowUp", 1), at("ArrowDown", 7)], [0, 7, 1, 7])
  assert.equal(at("ArrowDown", 5), 7)
  assert.deepEqual([at("Home", 5), at("End", 5), at("a", 5)], [0, 7, null])
})

test("numbers are short and never a negative zero", () => {
  assert.deepEqual([0, -0.001, 1.234, -45.67, 1234.5].map(spark.shortNumber), ["0.00", "0.00", "1.23", "\u221245.7", "1235"])
  assert.equal(spark.shortNumber(1.5e-5), "1.5e\u22125")
})
