// Landmarks of one face by a .tflite file of kfacealign. Read, not compiled: see README.md.
package kfacealign

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.PointF
import android.graphics.RectF
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import kotlin.math.max
import org.json.JSONObject

/** `wanted` are the accelerators in the order in which they are tried; the CPU, which takes every model, comes last. */
class FaceLandmarks(
  assets: AssetManager,
  model: String,
  metadata: String,
  wanted: List<Accelerator> = listOf(Accelerator.CPU),
  threads: Int = 2,
) : AutoCloseable {
  private val described = JSONObject(metadata)
  private val size = described.getInt("input_size")
  private val enlarge = described.getDouble("enlarge").toFloat()
  val pointNames: List<String> = described.getJSONArray("point_names").let { names -> List(names.length(), names::getString) }

  init {
    val type = described.getJSONObject("input").optString("dtype", "float32")
    require(type == "float32") { "the model reads $type: export it without --precision int8_io" }
  }

  private val compiled = compile(assets, model, wanted, threads)
  private val input = compiled.createInputBuffer("image", SIGNATURE)
  private val landmarks = compiled.createOutputBuffer("landmarks", SIGNATURE)
  private val scores = compiled.createOutputBuffer("scores", SIGNATURE)
  private val pixels = IntArray(size * size)
  private val values = FloatArray(size * size * 3)
  private val crop = Bitmap.createBitmap(size, size, Bitmap.Config.ARGB_8888)

  class Face(val points: List<PointF>, val scores: FloatArray)

  /** The face in `box` (brows to chin, ear to ear) of an upright image; points in pixels of the image. */
  fun find(image: Bitmap, box: RectF): Face {
    val square = square(box)
    val scale = size / square.width()
    val toCrop = Matrix().apply {
      setTranslate(-square.left, -square.top)
      postScale(scale, scale)
    }
    crop.eraseColor(android.graphics.Color.BLACK)
    Canvas(crop).drawBitmap(image, toCrop, Paint(Paint.FILTER_BITMAP_FLAG))
    fill()
    input.writeFloat(values)
    compiled.run(mapOf("image" to input), mapOf("landmarks" to landmarks, "scores" to scores), SIGNATURE)
    val found = landmarks.readFloat()
    val side = square.width()
    val points = List(pointNames.size) { k -> PointF(square.left + side * found[2 * k], square.top + side * found[2 * k + 1]) }
    return Face(points, scores.readFloat())
  }

  /** The box to look in on the next frame. */
  fun boxOf(face: Face): RectF = RectF(
    face.points.minOf { it.x }, face.points.minOf { it.y }, face.points.maxOf { it.x }, face.points.maxOf { it.y },
  )

  private fun square(box: RectF): RectF {
    val half = max(box.width(), box.height()) * enlarge / 2
    return RectF(box.centerX() - half, box.centerY() - half, box.centerX() + half, box.centerY() + half)
  }

  /** RGB of the crop, 0..255, row by row. */
  private fun fill() {
    crop.getPixels(pixels, 0, size, 0, 0, size, size)
    var place = 0
    for (pixel in pixels) {
      for (shift in intArrayOf(16, 8, 0)) values[place++] = (pixel shr shift and 0xff).toFloat()
    }
  }

  override fun close() {
    listOf(input, landmarks, scores).forEach { it.close() }
    compiled.close()
  }

  private companion object {
    const val SIGNATURE = "serving_default"

    /** The model on the first accelerator that takes it. */
    fun compile(assets: AssetManager, model: String, wanted: List<Accelerator>, threads: Int): CompiledModel {
      var last: LiteRtException? = null
      for (accelerator in wanted) {
        val options = CompiledModel.Options(accelerator)
        if (accelerator == Accelerator.CPU) options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
        try {
          return CompiledModel.create(assets, model, options)
        } catch (error: LiteRtException) {
          last = error
        }
      }
      throw IllegalArgumentException("$model cannot be compiled for any of $wanted", last)
    }
  }
}

/** An upright copy of a camera frame; `degrees` as of `ImageProxy.imageInfo.rotationDegrees`. */
fun upright(frame: Bitmap, degrees: Int): Bitmap {
  val turn = Matrix().apply { postRotate(degrees.toFloat()) }
  return Bitmap.createBitmap(frame, 0, 0, frame.width, frame.height, turn, true)
}
