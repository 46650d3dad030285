// Landmarks of one face by a .tflite file of kfacealign. Read, not compiled: see README.md.
package kfacealign

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.PointF
import android.graphics.RectF
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kotlin.math.max
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

class FaceLandmarks(model: ByteBuffer, metadata: String, threads: Int = 2) : AutoCloseable {
  private val described = JSONObject(metadata)
  private val size = described.getInt("input_size")
  private val enlarge = described.getDouble("enlarge").toFloat()
  private val bytesIn = described.getJSONObject("input").optString("dtype", "float32") == "uint8"
  val pointNames: List<String> = described.getJSONArray("point_names").let { names -> List(names.length(), names::getString) }

  private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
  private val pixels = IntArray(size * size)
  private val input = ByteBuffer.allocateDirect(size * size * 3 * if (bytesIn) 1 else 4).order(ByteOrder.nativeOrder())
  private val landmarks = FloatBuffer.allocate(pointNames.size * 2)
  private val scores = FloatBuffer.allocate(pointNames.size)
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
    landmarks.rewind()
    scores.rewind()
    val outputs = mutableMapOf<String, Any>("landmarks" to landmarks, "scores" to scores)
    interpreter.runSignature(mapOf<String, Any>("image" to input), outputs, "serving_default")
    val side = square.width()
    val points = List(pointNames.size) { k ->
      PointF(square.left + side * landmarks.get(2 * k), square.top + side * landmarks.get(2 * k + 1))
    }
    return Face(points, scores.array().copyOf())
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
    input.rewind()
    for (pixel in pixels) {
      for (shift in intArrayOf(16, 8, 0)) {
        val value = pixel shr shift and 0xff
        if (bytesIn) input.put(value.toByte()) else input.putFloat(value.toFloat())
      }
    }
    input.rewind()
  }

  override fun close() = interpreter.close()
}

/** An upright copy of a camera frame; `degrees` as of `ImageProxy.imageInfo.rotationDegrees`. */
fun upright(frame: Bitmap, degrees: Int): Bitmap {
  val turn = Matrix().apply { postRotate(degrees.toFloat()) }
  return Bitmap.createBitmap(frame, 0, 0, frame.width, frame.height, turn, true)
}
